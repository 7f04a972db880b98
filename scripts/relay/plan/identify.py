"""`relay identify`: the common user identifier, from a CSV file to Amplitude's Identify API.

Amplitude learns under which identity CleverTap knows a user (`CleverTap_Identity`); syncs can then
name the user to CleverTap by it. It is sealed, sent and kept in the ledger like every plan.

Source:
    CleverTap, Amplitude Import (Cohort): Set Up Common User Identifier.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from duckdb import DuckDBPyConnection

from relay import warehouse
from relay.errors import InputFileError
from relay.plan.build import build
from relay.plan.manifest import Plan, PlanSync
from relay.plan.seal import finish_plan, seal_sync, sealing_folder
from relay.settings import Settings

# No sync of syncs.yml can be called so.
SYNC = "_identify"
USER_ID, IDENTITY = "user_id", "CleverTap_Identity"
PAYLOAD = "payloads.amplitude_identities"

_LINE_TYPES = pa.schema(
    [
        ("line", pa.int64()),
        ("user_id", pa.string()),
        ("clevertap_identity", pa.string()),
        ("problem", pa.string()),
    ]
)


@dataclass(frozen=True)
class Dropped:
    """A line of the file that is not sent, and why."""

    line: int
    reason: str


@dataclass(frozen=True)
class IdentifyOutcome:
    """What a file gave: `rows` lines, so many to set, so many as they were, the rest dropped.

    `plan` is None where there is nothing to set.
    """

    plan: Plan | None
    rows: int
    added: int
    unchanged: int
    dropped: tuple[Dropped, ...]


def make_identify_plan(settings: Settings, path: Path) -> IdentifyOutcome:
    """Read the file, and seal what is to be set into a plan. The caller holds the lock.

    Args:
        settings: Whose home, and the clock.
        path: UTF-8 CSV with a header that has the columns `user_id` and `CleverTap_Identity`.

    Raises:
        InputFileError: The file cannot be read, or a column is missing.
        BuildError: dbt failed.
        PlanError: Something cannot be sealed; nothing is.
    """
    lines = list(read_identities(path))
    settings = settings.for_run()
    connection = warehouse.connect(settings)
    try:
        _store(connection, lines)
    finally:
        connection.close()
    needed = ("+payloads__amplitude_identities", "+path:models/ledger", "request_limits")
    build(settings, ["--select", *needed])
    connection = warehouse.connect(settings)
    try:
        return _seal(connection, settings, len(lines))
    finally:
        connection.close()


def read_identities(path: Path) -> Iterator[tuple[int, str | None, str | None, str | None]]:
    """The lines of the file: 1-based number, user id, identity, and what is wrong with the line.

    Raises:
        InputFileError: The file cannot be read as UTF-8 CSV, or a column is missing or there twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [cell.strip() for cell in next(reader, [])]
            if header.count(USER_ID) != 1 or header.count(IDENTITY) != 1:
                raise InputFileError(
                    path, f"expected a header with the columns {USER_ID},{IDENTITY}", line=1
                )
            user_id, identity = header.index(USER_ID), header.index(IDENTITY)
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(header):
                    yield reader.line_num, None, None, "wrong_number_of_cells"
                else:
                    yield reader.line_num, cells[user_id], cells[identity], None
    except UnicodeDecodeError as error:
        raise InputFileError(path, f"is not UTF-8 text (byte {error.start})") from error
    except csv.Error as error:
        raise InputFileError(path, f"is not CSV: {error}", line=reader.line_num) from error
    except OSError as error:
        raise InputFileError(path, f"cannot be read: {error.strerror}") from error


def _store(
    connection: DuckDBPyConnection,
    lines: list[tuple[int, str | None, str | None, str | None]],
) -> None:
    columns = list(zip(*lines, strict=True)) or [(), (), (), ()]
    table = pa.table([list(column) for column in columns], schema=_LINE_TYPES)
    connection.register("identify_lines", table)
    with warehouse.transaction(connection):
        connection.execute("delete from raw.identities")
        connection.execute("insert into raw.identities from identify_lines")
    connection.unregister("identify_lines")


def _seal(connection: DuckDBPyConnection, settings: Settings, rows: int) -> IdentifyOutcome:
    dropped = tuple(
        Dropped(line, reason)
        for line, reason in connection.execute(
            "select line, drop_reason from events.identifications"
            " where drop_reason is not null order by line"
        ).fetchall()
    )
    ((added,),) = connection.execute(f"select count(*) from {PAYLOAD}").fetchall()
    unchanged = rows - added - len(dropped)
    if not added:
        return IdentifyOutcome(None, rows, 0, unchanged, dropped)
    ((ledger_seq,),) = connection.execute(
        "select coalesce(max(ledger_seq), 0) from ledger.syncs where sync_name = ?", [SYNC]
    ).fetchall()
    with sealing_folder(settings.home) as folder:
        sealed = seal_sync(
            connection,
            folder,
            name=SYNC,
            kind="identify",
            destination="amplitude",
            delivery="identify",
            payload=f"(select * from {PAYLOAD})",
        )
        sync = PlanSync(
            name=SYNC,
            kind="identify",
            destination="amplitude",
            delivery="identify",
            cohort_id=None,
            cohort_name=None,
            snapshot_id=None,
            ledger_seq=ledger_seq,
            state="ready",
            reason=None,
            added=added,
            unchanged=unchanged,
            unaddressable=len(dropped),
            changes_hash=sealed.changes_hash,
            on_unknown="resend",
        )
        plan = finish_plan(
            settings.home,
            folder,
            kind="identify",
            created_at=settings.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            undoes=None,
            syncs=[sync],
            files=sealed.files,
            suppress=settings.config.suppress,
        )
    return IdentifyOutcome(plan, rows, added, unchanged, dropped)
