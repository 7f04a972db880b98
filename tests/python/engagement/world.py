"""A warehouse in memory with engagement events in it, and the models that make payloads of them."""

import csv
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb

from compiled import CompiledModels
from relay import warehouse
from relay.load.clevertap_events import Load, load_clevertap_file
from relay.load.moengage_events import load_moengage_files
from relay.settings import load_settings

PROJECT = Path(__file__).resolve().parents[3]
LOADED_AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
PAYLOADS = ("payloads__amplitude_events", "reports__unmapped", "reports__dropped_events")

_SEED_TYPES = {
    "is_engagement": "boolean",
    "is_active": "boolean",
    "is_unique_id": "boolean",
    "priority": "bigint",
    "position": "bigint",
    "max_records": "bigint",
    "max_bytes": "bigint",
}


def raw_warehouse() -> duckdb.DuckDBPyConnection:
    """The raw tables, empty, in memory."""
    connection = duckdb.connect()
    connection.execute(resources.files("relay").joinpath("raw.sql").read_text(encoding="utf-8"))
    return connection


def load_seeds(connection: duckdb.DuckDBPyConnection) -> None:
    """Make every seed a table, as `dbt seed` would."""
    connection.execute("create schema if not exists seeds")
    for path in sorted((PROJECT / "seeds").rglob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            columns = next(csv.reader(file))
        types = {column: _SEED_TYPES.get(column, "varchar") for column in columns}
        connection.execute(
            f"create or replace table seeds.{path.stem} as"
            f" select * from read_csv(?, header = true, nullstr = '', columns = {types})",
            [str(path)],
        )


class World:
    """What has been loaded so far; `build` computes the payloads from it."""

    def __init__(self, compiled: CompiledModels, folder: Path, syncs: str) -> None:
        self.compiled = compiled
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "syncs.yml").write_text(syncs, encoding="utf-8")
        self.connection = duckdb.connect()
        self.connection.execute("set TimeZone = 'UTC'")
        self._loads = 0
        self.configure()
        load_seeds(self.connection)

    def configure(self, now: str = "2026-03-02T13:00:00Z", syncs: str | None = None) -> None:
        """Bring the configuration in as it is now."""
        if syncs is not None:
            (self.folder / "syncs.yml").write_text(syncs, encoding="utf-8")
        settings = load_settings(
            self.folder, environ={"CLEVERTAP_TIMEZONE": "Asia/Kolkata", "RELAY_NOW": now}
        )
        warehouse.prepare(self.connection, settings)

    def amplitude(self, *rows: Mapping[str, Any]) -> None:
        """Amplitude events: `amplitude_id`, `user_id`, `device_id`, `user_properties`."""
        for number, row in enumerate(rows):
            self.connection.execute(
                "insert into raw.amplitude_events by name select uuid() as uuid, ? as amplitude_id,"
                " ? as user_id, ? as device_id, ?::json as user_properties, ? as app,"
                " timestamp '2026-03-01' + interval (?) minute as event_time,"
                " timestamp '2026-03-01' as server_upload_time, 'a' as source_file, 1 as load_id,"
                " timestamp '2026-03-01' as loaded_at, 'seen' as event_type",
                [
                    row.get("amplitude_id"),
                    row.get("user_id"),
                    row.get("device_id"),
                    json.dumps(row.get("user_properties", {})),
                    row.get("app", 829001),
                    number,
                ],
            )

    def moengage(self, *events: Mapping[str, Any]) -> None:
        """One export file of MoEngage with these events; what is left out is filled in."""
        lines = [
            json.dumps({"app_name": "Shop", "event": moengage_event(event)}) for event in events
        ]
        path = self.folder / "moengage.json"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._loads += 1
        load_moengage_files(
            self.connection,
            [(path, f"moengage/{self._loads}.json")],
            load_id=self._loads,
            loaded_at=LOADED_AT,
        )

    def clevertap(self, name: str, *rows: Mapping[str, Any]) -> None:
        """One export file of CleverTap: the events of one name."""
        lines = [name, *(json.dumps(row, ensure_ascii=False) for row in rows)]
        path = self.folder / "clevertap.json"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._loads += 1
        load_clevertap_file(
            self.connection,
            path,
            source_file=f"clevertap/{self._loads}.json",
            load=Load(self._loads, LOADED_AT, "Asia/Kolkata", "file"),
        )

    def build(self, names: Sequence[str] = PAYLOADS) -> None:
        """Compute these models from what there is, whole."""
        self.compiled.run(self.connection, names)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query).fetchall()

    def records(self, sync_name: str) -> list[dict[str, Any]]:
        """The records of an export's payload, in the order of sending."""
        rows = self.connection.execute(
            "select record from payloads.amplitude_events where sync_name = ? order by position",
            [sync_name],
        ).fetchall()
        return [json.loads(record) for (record,) in rows]


def moengage_event(given: Mapping[str, Any]) -> dict[str, Any]:
    """A MoEngage event with everything an export has, but for what is given."""
    return {
        "event_name": "Email Sent",
        "event_code": "MOE_EMAIL_SENT",
        "event_time": 1772366400,
        "event_type": "CAMPAIGN_EVENT",
        "event_source": "MOENGAGE",
        "uid": "cust-0001",
        **given,
    }
