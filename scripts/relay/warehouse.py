"""Opens the warehouse, keeps it to one writer, and publishes the analysts' copy.

`relay.duckdb` has one writer at a time, kept by a lock file that names its holder; analysts read
`analytics.duckdb`, which is replaced whole by a rename. Config and ledger are inputs like any
other: `prepare` brings both into raw tables on every connection, dbt's own included.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection

from relay.config_tables import write_config_tables
from relay.errors import ConfigurationError, LockedError
from relay.faultpoints import reach
from relay.ledger_tables import refresh_ledger_tables
from relay.settings import Home, Settings

# It makes texts a sixth smaller, and takes a third of the work of storing them.
_COSTLY_COMPRESSION = "fsst"
_BUILT = "select name, state from raw.built order by name"
_RAW_TABLES = resources.files("relay").joinpath("raw.sql").read_text(encoding="utf-8")


@dataclass
class _Held:
    """A lock of this process.

    Attributes:
        descriptor: Of the lock file, open.
        depth: How many nested calls hold it.
        warehouse: Keeps the warehouse open from its first use to the end of the lock: opening reads
            the catalog, closing writes a checkpoint, and one command connects a dozen times.
    """

    descriptor: int
    depth: int = 1
    warehouse: DuckDBPyConnection | None = None

    def close_warehouse(self) -> None:
        if self.warehouse is not None:
            self.warehouse.close()
            self.warehouse = None


# The homes this process has locked, by the path of their lock file.
_held: dict[Path, _Held] = {}


@contextmanager
def lock(home: Home, command: str) -> Iterator[None]:
    """Hold the one writer's lock of `home`; nested calls in one process share it.

    The lock is `flock` on `relay.lock`, so it is free the moment its holder is gone, however it
    went. Its holder stands inside as JSON: `{"pid", "command", "since"}`.

    Raises:
        LockedError: Another process holds it; the message names it and its age.
    """
    acquire_lock(home, command)
    try:
        yield
    finally:
        release_lock(home)


def acquire_lock(home: Home, command: str) -> None:
    """Take the lock, or one level more of it. See `lock`."""
    path = home.lock_file.resolve()
    if path in _held:
        _held[path].depth += 1
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = lock_holder(home)
        os.close(descriptor)
        raise LockedError(
            f"{path} is held by {describe_holder(holder)}; wait for it to end, or stop it"
        ) from None
    about = {"pid": os.getpid(), "command": command, "since": datetime.now(UTC).isoformat()}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(about).encode(), 0)
    _held[path] = _Held(descriptor)


def release_lock(home: Home) -> None:
    """Give one level of the lock back; the last one frees it."""
    path = home.lock_file.resolve()
    held = _held[path]
    held.depth -= 1
    if held.depth:
        return
    del _held[path]
    try:
        held.close_warehouse()
    finally:
        os.ftruncate(held.descriptor, 0)
        os.close(held.descriptor)


def lock_holder(home: Home) -> dict[str, str] | None:
    """Who holds the lock, as its holder wrote it; None when nobody does or it is this process."""
    try:
        descriptor = os.open(home.lock_file, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(descriptor, 4096).decode(errors="replace")
        try:
            return dict(json.loads(text))
        except ValueError:
            return {"pid": "?", "command": "a process that is just starting", "since": ""}
    finally:
        os.close(descriptor)
    return None


def describe_holder(holder: dict[str, str] | None) -> str:
    """`relay plan (process 4711), for 12 s`."""
    if holder is None:
        return "a process that just ended (try again)"
    age = ""
    if holder.get("since"):
        seconds = (datetime.now(UTC) - datetime.fromisoformat(holder["since"])).total_seconds()
        age = f", for {seconds:.0f} s"
    return f"{holder['command']} (process {holder['pid']}){age}"


def connect(settings: Settings) -> DuckDBPyConnection:
    """Open the warehouse for writing, its raw tables current; the caller holds the lock."""
    home = settings.home
    for folder in (home.warehouse, home.landing, home.outbox / "next", home.ledger):
        folder.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect(str(home.database))
    connection.execute("set TimeZone = 'UTC'")
    prepare(connection, settings)
    return connection


def read(home: Home) -> DuckDBPyConnection:
    """Open the analysts' copy for reading: at any time, also while something is being written.

    Raises:
        ConfigurationError: There is none yet.
    """
    if not home.analytics.exists():
        raise ConfigurationError(f"{home.analytics} is not there yet; run `relay build` first")
    connection = duckdb.connect(str(home.analytics), read_only=True)
    connection.execute("set TimeZone = 'UTC'")
    return connection


def prepare(connection: DuckDBPyConnection, settings: Settings) -> None:
    """Make the raw tables that are not there, and bring configuration and ledger into theirs.

    Until the lock is given back or the analysts' copy is published, the file stays open.
    """
    held = _held.get(settings.home.lock_file.resolve())
    if held is None or held.warehouse is None:
        connection.execute(f"set disabled_compression_methods = '{_COSTLY_COMPRESSION}'")
        connection.execute(_RAW_TABLES)
        if held is not None:
            # Not a cursor of this connection: it would be closed with it.
            held.warehouse = duckdb.connect(str(settings.home.database))
    write_config_tables(connection, settings)
    refresh_ledger_tables(connection, settings.home)


def fetch(
    connection: DuckDBPyConnection, query: str, parameters: object = None
) -> list[dict[str, Any]]:
    """The rows of a query, in its order, each by the names of its columns."""
    cursor = connection.execute(query, parameters)
    columns = [column[0] for column in cursor.description or []]
    return [dict(zip(columns, values, strict=True)) for values in cursor.fetchall()]


@contextmanager
def transaction(connection: DuckDBPyConnection) -> Iterator[None]:
    """All or nothing: commit at the end of the block, roll back when it raises."""
    connection.execute("begin transaction")
    try:
        yield
    except BaseException:
        connection.execute("rollback")
        raise
    reach("warehouse.before_commit")
    connection.execute("commit")
    reach("warehouse.committed")


def publish_news(home: Home) -> None:
    """Publish, unless the analysts' copy is of the very build that the warehouse is of.

    Copying costs what the whole warehouse holds, and most scheduled runs find nothing new.
    """
    with duckdb.connect(str(home.database)) as connection:
        built = connection.execute(_BUILT).fetchall()
    if not built or _published(home) != built:
        publish(home)


def _published(home: Home) -> list[tuple[str, str]] | None:
    """Of which inputs and project the copy was built; None where there is none to be read."""
    if not home.analytics.exists():
        return None
    try:
        with duckdb.connect(str(home.analytics), read_only=True) as connection:
            return connection.execute(_BUILT).fetchall()
    except duckdb.Error:
        # Whatever is wrong with it, a new one takes its place.
        return None


def publish(home: Home) -> Path:
    """Replace `analytics.duckdb` by a copy of the warehouse, atomically.

    The warehouse is closed first: only then is everything in its one file. Readers that have the
    old copy open keep it; new ones see the new one. A write-ahead log that an analyst's own session
    left beside the old copy belongs to that copy, and would spoil the new one: it goes first.
    """
    if held := _held.get(home.lock_file.resolve()):
        held.close_warehouse()
    write_ahead_log = home.database.with_name(home.database.name + ".wal")
    if write_ahead_log.exists():
        duckdb.connect(str(home.database)).close()
        if write_ahead_log.exists():
            raise LockedError(f"{home.database} is still open in this process; close it first")
    copy = home.analytics.with_name(f".{home.analytics.name}.{os.getpid()}")
    shutil.copyfile(home.database, copy)
    with copy.open("rb") as file:
        os.fsync(file.fileno())
    reach("warehouse.before_publish")
    home.analytics.with_name(home.analytics.name + ".wal").unlink(missing_ok=True)
    copy.replace(home.analytics)
    reach("warehouse.published")
    return home.analytics
