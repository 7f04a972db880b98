"""A warehouse in memory with Lytics' syncs: loads, the real models, and sending by the book."""

import hashlib
import json
import random
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection

from compiled import CompiledModels
from lytics_oracle import StreamRow
from relay.config_tables import write_config_tables
from relay.settings import Settings, load_settings
from relay.warehouse import prepare

SEEDS = Path(__file__).parents[2] / "seeds" / "mappings"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SYNCS = """\
version: 1
cohort_syncs:
  - {name: cart-to-lytics, cohort_id: c1, destination: lytics}
  - {name: vip-to-lytics, cohort_id: c2, destination: lytics}
event_imports:
  - {name: events-to-lytics, destination: lytics, backfill_days: 90}
"""
EVENT_COLUMNS = {
    "$insert_id": "VARCHAR",
    "$schema": "BIGINT",
    "adid": "VARCHAR",
    "amplitude_attribution_ids": "JSON",
    "amplitude_event_type": "VARCHAR",
    "amplitude_id": "BIGINT",
    "app": "BIGINT",
    "city": "VARCHAR",
    "client_event_time": "TIMESTAMP",
    "client_upload_time": "TIMESTAMP",
    "country": "VARCHAR",
    "data": "JSON",
    "device_brand": "VARCHAR",
    "device_carrier": "VARCHAR",
    "device_family": "VARCHAR",
    "device_id": "VARCHAR",
    "device_manufacturer": "VARCHAR",
    "device_model": "VARCHAR",
    "device_type": "VARCHAR",
    "dma": "VARCHAR",
    "event_id": "BIGINT",
    "event_properties": "JSON",
    "event_time": "TIMESTAMP",
    "event_type": "VARCHAR",
    "group_properties": "JSON",
    "idfa": "VARCHAR",
    "ip_address": "VARCHAR",
    "is_attribution_event": "BOOLEAN",
    "language": "VARCHAR",
    "library": "VARCHAR",
    "location_lat": "DOUBLE",
    "location_lng": "DOUBLE",
    "os_name": "VARCHAR",
    "os_version": "VARCHAR",
    "paying": "BOOLEAN",
    "platform": "VARCHAR",
    "processed_time": "TIMESTAMP",
    "region": "VARCHAR",
    "sample_rate": "DOUBLE",
    "server_received_time": "TIMESTAMP",
    "server_upload_time": "TIMESTAMP",
    "session_id": "BIGINT",
    "start_version": "VARCHAR",
    "user_creation_time": "TIMESTAMP",
    "user_id": "VARCHAR",
    "user_properties": "JSON",
    "uuid": "UUID",
    "version_name": "VARCHAR",
}
# Whose amplitude id it is; 7 and 8 are nobody's until a device tells.
OWNERS = {1: "ann", 2: "ann", 3: "Bo ✓", 4: "Bo ✓", 5: 'c"y', 9_223_372_036_854_775_807: 'c"y'}
FIELDS_MODELS = (
    "payloads__lytics_cohorts",
    "payloads__lytics_events",
    "payloads__lytics_user_profiles",
)


def load_events(
    connection: DuckDBPyConnection, events: Sequence[Mapping[str, Any]], load_id: int
) -> None:
    """Put events into raw.amplitude_events as one load."""
    connection.execute(
        "insert into raw.amplitude_events by name"
        f" select unnest(from_json(?::json, '{json.dumps([EVENT_COLUMNS])}'), max_depth := 2),"
        " 'test' as source_file, 1 as line_number, ? as load_id,"
        " timestamp '2026-03-01' as loaded_at",
        [json.dumps(events), load_id],
    )


def load_cohort(
    connection: DuckDBPyConnection,
    cohort_id: str,
    name: str,
    computed: datetime,
    rows: Iterable[tuple[int | None, str | None, Mapping[str, Any]]],
) -> None:
    """A newer snapshot of a cohort: rows of (amplitude id, user id, properties)."""
    computed = computed.replace(tzinfo=None)
    connection.execute(
        "insert into raw.amplitude_cohort_snapshots values"
        " (?, ?, ?, 829528, ?, null, 0, 'test', 'hash', 1, ?)",
        [f"{cohort_id}@{computed:%Y%m%dT%H%M%S}", cohort_id, name, computed, computed],
    )
    # As the loader does: what stays keeps its run, what is gone ends it, what is new begins one.
    new = {(a, u, json.dumps(p, ensure_ascii=False)) for a, u, p in rows}
    old = set(
        connection.execute(
            "select amplitude_id, user_id, properties from raw.amplitude_cohort_members"
            " where cohort_id = ? and left_at is null",
            [cohort_id],
        ).fetchall()
    )
    for amplitude_id, user_id, properties in sorted(old - new, key=repr):
        connection.execute(
            "update raw.amplitude_cohort_members set left_at = ? where cohort_id = ?"
            " and amplitude_id is not distinct from ? and user_id is not distinct from ?"
            " and properties = ? and left_at is null",
            [computed, cohort_id, amplitude_id, user_id, properties],
        )
    for amplitude_id, user_id, properties in sorted(new - old, key=repr):
        connection.execute(
            "insert into raw.amplitude_cohort_members values (?, ?, ?, ?, 1, ?, null, 'test', 1)",
            [cohort_id, amplitude_id, user_id, properties, computed],
        )


@dataclass
class LyticsWorld:
    """A warehouse in memory; `send` does what plan and apply would do with what is pending."""

    models: CompiledModels
    folder: Path
    syncs: str = SYNCS
    now: datetime = NOW
    connection: DuckDBPyConnection = field(init=False)
    sent: list[StreamRow] = field(default_factory=list)
    payloads: Sequence[str] = ("lytics_cohorts", "lytics_events")
    _plans: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "syncs.yml").write_text(self.syncs, encoding="utf-8")
        self.connection = duckdb.connect()
        self.connection.execute("set TimeZone = 'UTC'")
        self.connection.execute("create schema seeds")
        prepare(self.connection, self._settings())
        for path in sorted(SEEDS.glob("*.csv")):
            self.connection.execute(
                f"create table seeds.{path.stem} as from read_csv('{path}', header = true,"
                " all_varchar = true, quote = '\"', escape = '\"')"
            )
        for table, column, kind in (
            ("junk_ids", "is_active", "boolean"),
            ("lytics_field_map", "is_active", "boolean"),
            ("lytics_field_map", "is_unique_id", "boolean"),
            ("lytics_field_map", "position", "bigint"),
        ):
            self.connection.execute(f"alter table seeds.{table} alter {column} type {kind}")

    def _settings(self) -> Settings:
        return load_settings(self.folder, environ={"RELAY_NOW": self.now.isoformat()})

    def at(self, now: datetime) -> None:
        """Let the clock of the next build be `now`."""
        self.now = now
        write_config_tables(self.connection, self._settings())

    def build(self, *names: str) -> None:
        """Build these models and all they read; without a name the three payloads."""
        self.models.run(self.connection, names or FIELDS_MODELS)

    def pending(self) -> list[StreamRow]:
        """The rows that are to be sent, in the order of sending."""
        rows = []
        for stream, table, time in (
            ("amplitude_cohorts", "lytics_cohorts", "synced_at"),
            ("amplitude_events", "lytics_events", "event_time"),
        ):
            for key_type, key_value, cohort_id, record in self.connection.execute(
                f"select key_type, key_value, cohort_id, record from payloads.{table}"
                " order by sync_name, position"
            ).fetchall():
                values = json.loads(record)
                moment = datetime.fromisoformat(values[time])
                order = 0
                if key_type == "event":
                    order = int(uuid.UUID(key_value).hex[:16], 16)
                elif stream == "amplitude_cohorts":
                    order = _cohort_order(values["last_computed"], cohort_id)
                moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
                rows.append(StreamRow(stream, moment, order, values))
        return rows

    def send(self) -> None:
        """Seal what is pending into a plan and have all of it delivered."""
        self.sent += self.pending()
        self._plans += 1
        plan_id = f"plan{self._plans:04}"
        connection = self.connection
        connection.execute(
            "insert into raw.plans values (?, 'hash', 'sync', ?, null, true)",
            [plan_id, self.now.replace(tzinfo=None)],
        )
        for table in self.payloads:
            connection.execute(
                f"""
                insert into raw.plan_rows by name
                select $plan as plan_id, sync_name, change_id, 1 as request,
                    position - 1 as position, phase, action, reason, key_type, key_value,
                    match_key, cohort_name, payload_hash, person_ids, anchors
                from payloads.{table}
                """,
                {"plan": plan_id},
            )
        connection.execute(
            """
            insert into raw.plan_syncs by name
            select distinct $plan as plan_id, plan_rows.sync_name, syncs.kind, syncs.destination,
                syncs.cohort_id, snapshots.snapshot_id, snapshots.cohort_name,
                0 as ledger_seq, 'ready' as state, true as has_rows
            from raw.plan_rows
            inner join staging.stg_relay__syncs as syncs using (sync_name)
            left join staging.stg_amplitude__cohort_snapshots as snapshots
                on syncs.cohort_id = snapshots.cohort_id and snapshots.is_newest
            where plan_id = $plan
            """,
            {"plan": plan_id},
        )
        for (sync,) in connection.execute(
            "select sync_name from raw.plan_syncs where plan_id = ?", [plan_id]
        ).fetchall():
            for kind, outcome in (("sending", None), ("answered", "delivered")):
                connection.execute(
                    "insert into raw.ledger_lines select coalesce(max(seq), 0) + 1, ?, ?, ?, ?,"
                    " 1, 1, 200, ?, [], [], null, 'test' from raw.ledger_lines",
                    [self.now.replace(tzinfo=None), kind, plan_id, sync, outcome],
                )

    def profiles(self) -> dict[str, dict[str, Any]]:
        """The profiles that the models forecast, by profile id."""
        return {
            profile_id: json.loads(user_fields)
            for profile_id, user_fields in self.connection.execute(
                "select profile_id, user_fields from payloads.lytics_user_profiles"
            ).fetchall()
        }


def _cohort_order(last_computed: str, cohort_id: str) -> int:
    """What decides between rows of one second: the newer computation, then a hash of the cohort."""
    seconds = int(datetime.fromisoformat(last_computed).timestamp())
    low = int.from_bytes(hashlib.md5(cohort_id.encode()).digest()[8:], "little")
    return seconds * 2**32 + low // 2**32


def settling_events() -> list[dict[str, Any]]:
    """One early event of each amplitude id that has an owner, so that no later row moves it."""
    return [
        {
            "$insert_id": f"first-{amplitude_id}",
            "amplitude_id": amplitude_id,
            "app": 829528,
            "user_id": user_id,
            "device_id": f"first-{amplitude_id}",
            "event_type": "Signed Up",
            "event_time": "2026-02-01 00:00:00",
            "server_upload_time": "2026-02-01 00:00:01",
            "uuid": str(uuid.UUID(int=number, version=4)),
        }
        for number, (amplitude_id, user_id) in enumerate(OWNERS.items(), start=1)
    ]


def random_events(rng: random.Random, count: int, *, start: datetime) -> list[dict[str, Any]]:
    """Events of a few people, with all that exports hold: retries, odd names, ours among them."""
    events = []
    for _ in range(count):
        moment = start + timedelta(microseconds=rng.randrange(86_400_000_000))
        uploaded = moment + timedelta(seconds=rng.randrange(7200))
        amplitude_id = rng.choice([None, *OWNERS, 7, 8])
        user_id = rng.choice([None, None, "ann", "Bo ✓", 'c"y', "null"])
        device_id = rng.choice([None, "d1", "d2", "d3"])
        insert_id = rng.choice([None, f"i{rng.randrange(2 * count)}", "relay:x"])
        events.append(
            {
                "$insert_id": insert_id,
                "$schema": rng.choice([None, 12]),
                "amplitude_id": amplitude_id,
                "app": 829528,
                "user_id": user_id,
                "device_id": device_id,
                "amplitude_attribution_ids": rng.choice([None, "z", ["a", "b"]]),
                "city": rng.choice([None, "", "Pune", "Zürich", "x" * 600]),
                "region": rng.choice([None, "MH"]),
                "data": rng.choice([None, {}, {"path": "/2"}]),
                "event_type": rng.choice(["Song Played", 'Add "Cart"', "a\nb", "Séance 🎧"]),
                "event_id": rng.choice([None, rng.randrange(2**53)]),
                "event_time": f"{moment:%Y-%m-%d %H:%M:%S.%f}",
                "server_upload_time": f"{uploaded:%Y-%m-%d %H:%M:%S.%f}",
                "user_creation_time": rng.choice([None, "2025-12-01 08:00:00"]),
                "location_lat": rng.choice([None, 18.52, -0.1, 1e-7]),
                "paying": rng.choice([None, True, False]),
                "session_id": rng.choice([None, -1, 1772428440000]),
                "ip_address": "203.0.113.7",
                "event_properties": rng.choice([None, {}, _properties(rng)]),
                "user_properties": rng.choice([None, _properties(rng)]),
                "group_properties": rng.choice([None, {"company": {"Acme": {"tier": "gold"}}}]),
                "uuid": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            }
        )
    return events


def _properties(rng: random.Random) -> dict[str, Any]:
    return {
        "genre": rng.choice(["jazz", "", None, 'a "quote"', "line\nbreak"]),
        "count": rng.choice([31, 4.25, 10**20, True]),
        "list": rng.choice([[], ["A", 1, None], [{"x": {"y": 2}}]]),
        "nested": rng.choice([{}, {"a": {"b": rng.randrange(9), "c": None}, "a.b": "flat"}]),
        "": rng.choice(["no name", {"k": "under no name"}]),
        "with space/and~": rng.choice(["x", None]),
    }
