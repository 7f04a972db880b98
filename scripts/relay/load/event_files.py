"""One landed export file into the warehouse: its events, its rejected lines, the note of it."""

import hashlib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from duckdb import DuckDBPyConnection

from relay.load.event_writer import SOURCE, Counts, EventWriter
from relay.load.landing import COPY_BYTES, Landed
from relay.load.members import members_of
from relay.load.units import ahead, units_of

# What DuckDB may hold while it loads; what it writes goes to disk as it comes.
ENGINE_MEMORY_BYTES = 128_000_000
USUAL_LINE_BYTES = 1 << 20


@dataclass(frozen=True)
class StoredFile:
    """What became of one file.

    Attributes:
        counts: Its lines; as if they had been read again where its content was loaded before.
        hours: Lines per hour of `server_upload_time`; empty where its content was loaded before.
        load_id: The load; None where its content was loaded before.
        is_new: Whether anything was stored: an event or a rejected line that was not there.
    """

    counts: Counts
    hours: dict[datetime, int] = field(default_factory=dict)
    load_id: int | None = None
    is_new: bool = False


def content_sha256(landed: Landed) -> str:
    """A hash of what the file holds, whatever the archive around it looks like.

    Amplitude packs an archive anew for each request, with the time of the request in it; its
    members are what is compared, by name and bytes.
    """
    if not zipfile.is_zipfile(landed.path):
        return landed.sha256
    total = hashlib.sha256()
    try:
        with zipfile.ZipFile(landed.path) as archive:
            for entry in sorted(archive.infolist(), key=lambda entry: entry.filename):
                digest = hashlib.sha256()
                with archive.open(entry) as member:
                    while piece := member.read(COPY_BYTES):
                        digest.update(piece)
                total.update(f"{entry.filename}\0{digest.hexdigest()}\n".encode())
    except (zipfile.BadZipFile, ValueError, OSError, RuntimeError, NotImplementedError):
        # Reading it for its lines will say what is wrong with it, and where.
        return landed.sha256
    return total.hexdigest()


def known_content(connection: DuckDBPyConnection, content: str) -> StoredFile | None:
    """What became of a file with this content when it was loaded; None if it never was."""
    found = connection.execute(
        "select row_count, rejected from raw.loaded_files"
        " where source = ? and content_sha256 = ? and state = 'loaded' order by load_id limit 1",
        [SOURCE, content],
    ).fetchone()
    if found is None:
        return None
    rows, rejected = found
    return StoredFile(Counts(rows, 0, rows - rejected, rejected))


def store_file(
    connection: DuckDBPyConnection,
    landed: Landed,
    *,
    now: datetime,
    project: str | None = None,
) -> StoredFile:
    """Store the events of a file that are not stored yet. The caller is `frugal`, in a transaction.

    Args:
        connection: Open warehouse with the raw tables.
        landed: The file.
        now: When it is loaded, UTC.
        project: Kept with each row where the user named one.

    Raises:
        InputFileError: The file or a member of it is cut off or damaged; the caller rolls back.
    """
    ((load_id,),) = connection.execute("select nextval('raw.load_ids')").fetchall()
    writer = EventWriter(connection, load_id, now, project)
    units = ahead(units_of(_members(landed)))
    try:
        for unit in units:
            with _room_for(connection, unit.longest):
                writer.write(unit)
    finally:
        units.close()  # type: ignore[attr-defined]
    rejects = writer.finish()
    counts = writer.counts
    return StoredFile(counts, writer.hours(), load_id, is_new=counts.loaded > 0 or rejects > 0)


def note_file(
    connection: DuckDBPyConnection,
    landed: Landed,
    content: str,
    state: str,
    now: datetime,
    *,
    source: str = SOURCE,
    counts: Counts | None = None,
    load_id: int | None = None,
    reason: str | None = None,
) -> None:
    """Note in `raw.loaded_files` that a file was read or refused, in place of an earlier note."""
    connection.execute(
        "delete from raw.loaded_files where source = ? and source_file = ?",
        [source, landed.source_file],
    )
    connection.execute(
        "insert into raw.loaded_files values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            source,
            landed.source_file,
            landed.sha256,
            content,
            state,
            counts and counts.rows,
            counts and counts.loaded,
            counts and counts.duplicates,
            counts and counts.rejected,
            reason,
            load_id,
            now.astimezone(UTC).replace(tzinfo=None),
        ],
    )


@contextmanager
def frugal(
    connection: DuckDBPyConnection,
    *,
    threads: int | None = 1,
    memory_bytes: int = ENGINE_MEMORY_BYTES,
) -> Iterator[None]:
    """Have DuckDB keep to some memory, and to some threads, while the block runs.

    Without a limit it keeps what it has read and written for as long as the machine has room. On
    small units its other threads cost half as much again and save nothing, beside the one that
    unpacks.

    Args:
        connection: Open warehouse, outside of a transaction: a failed one sets nothing any more.
        threads: How many may work, this one included; None: as many as ever.
        memory_bytes: What it may hold; what it needs beyond that goes to disk for a while.
    """
    wanted = {"memory_limit": f"{memory_bytes}B"}
    if threads is not None:
        wanted["threads"] = str(threads)
    names = ", ".join(f"current_setting('{name}')" for name in wanted)
    (before,) = connection.execute(f"select {names}").fetchall()
    try:
        for name, value in wanted.items():
            connection.execute(f"set {name} = '{value}'")
        yield
    finally:
        for name, value in zip(wanted, before, strict=True):
            connection.execute(f"set {name} = '{value}'")


@contextmanager
def _room_for(connection: DuckDBPyConnection, longest: int) -> Iterator[None]:
    """More memory than `frugal` leaves while lines go through that are longer than any usual one.

    Taken apart, a line takes some forty times its room. If the block fails, so does the transaction
    around it, and `frugal` restores everything.
    """
    if longest <= USUAL_LINE_BYTES:
        yield
        return
    connection.execute(f"set memory_limit = '{ENGINE_MEMORY_BYTES + 40 * longest}B'")
    yield
    connection.execute(f"set memory_limit = '{ENGINE_MEMORY_BYTES}B'")


def _members(landed: Landed) -> Iterator[tuple[str, Iterator[bytes]]]:
    for member in members_of(landed.path):
        name = f"{landed.source_file}/{member.name}" if member.name else landed.source_file
        yield name, member.pieces()
