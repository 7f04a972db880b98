"""Made-up exports: event rows, archives, and an open warehouse to load them into."""

import functools
import gzip
import io
import json
import uuid
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection

from relay import warehouse
from relay.emulate.amplitude.rows import completed
from relay.settings import RunOptions, Settings, load_settings

NOW = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
HOUR = datetime(2026, 3, 1, 10, tzinfo=UTC)
PROJECT = "829528"


def event(number: int, *, at: datetime = HOUR, **values: Any) -> dict[str, Any]:
    """A row with all 55 keys; the same number is the same event."""
    moment = f"{at + timedelta(milliseconds=number % 3_600_000):%Y-%m-%d %H:%M:%S.%f}"
    row: dict[str, Any] = {
        "uuid": str(uuid.UUID(int=number + (1 << 80))),
        "$insert_id": f"insert-{number}",
        "amplitude_id": 1_610_447_900_000 + number % 50,
        "user_id": f"user-{number % 50}",
        "device_id": f"device-{number % 50}",
        "event_type": "viewed",
        "server_upload_time": moment,
        "event_time": moment,
    }
    return completed(row, PROJECT) | values


def line(row: Mapping[str, Any]) -> bytes:
    """The row as Amplitude writes it, with its line feed."""
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Several rows."""
    return b"".join(map(line, rows))


def member_name(hour: datetime = HOUR, partition: int = 0) -> str:
    """The name of a member; the hour is not zero padded."""
    return f"{PROJECT}/{PROJECT}_{hour:%Y-%m-%d}_{hour.hour}#{partition}.json.gz"


def archive(
    members: Sequence[tuple[str, bytes]], *, made_at: datetime = NOW, deflated: bool = False
) -> bytes:
    """A zip archive of these members, as they are."""
    body = io.BytesIO()
    how = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    with zipfile.ZipFile(body, "w", how) as file:
        for name, content in members:
            entry = zipfile.ZipInfo(name, made_at.timetuple()[:6])
            entry.compress_type = how
            file.writestr(entry, content)
    return body.getvalue()


def packed(text: bytes) -> bytes:
    """As a gzip member."""
    return gzip.compress(text, 1, mtime=0)


def settings_at(home: Path, environ: Mapping[str, str] | None = None, config: str = "") -> Settings:
    """Settings of a home with its clock stopped at `NOW`."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "syncs.yml").write_text(f"version: 1\n{config}", encoding="utf-8")
    return load_settings(
        home, environ={"RELAY_NOW": f"{NOW:%Y-%m-%dT%H:%M:%SZ}"} | dict(environ or {})
    )


def at(settings: Settings, moment: datetime) -> Settings:
    """The same settings with the clock stopped at another time."""
    return replace(settings, run=RunOptions(planned_at=moment))


def open_warehouse(settings: Settings) -> DuckDBPyConnection:
    """An open warehouse; tests are alone with it."""
    return warehouse.connect(settings)


def memory_warehouse() -> DuckDBPyConnection:
    """Raw tables in memory, of its own."""
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    connection.execute("set threads = 1")
    path = Path(warehouse.__file__).with_name("raw.sql")
    connection.execute(path.read_text(encoding="utf-8"))
    return connection


@functools.cache
def shared_warehouse() -> DuckDBPyConnection:
    """Raw tables in memory, as the last test left them."""
    return memory_warehouse()


def empty_warehouse() -> DuckDBPyConnection:
    """The shared tables, empty."""
    connection = shared_warehouse()
    for name in raw_tables(connection):
        connection.execute(f"delete from raw.{name}")
    return connection


def tables(connection: DuckDBPyConnection) -> dict[str, list[Any]]:
    """Every row of every raw table, in an order of its own."""
    return {
        name: sorted(connection.execute(f"select * from raw.{name}").fetchall(), key=repr)
        for name in raw_tables(connection)
    }


def raw_tables(connection: DuckDBPyConnection) -> list[str]:
    """Names of the raw tables."""
    found = connection.execute(
        "select table_name from duckdb_tables() where schema_name = 'raw' order by 1"
    ).fetchall()
    return [name for (name,) in found]
