"""Seals one sync's payload rows into files: bodies, rows, and CSV for people.

The same rows, time and limits give the same bytes. Each file is written whole under a temporary
name; the plan's folder gets its final name only when everything in it, the manifest last, is on
disk.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from relay.durable import sha256_of, sync_file, sync_folder, writing
from relay.errors import PlanError
from relay.faultpoints import reach
from relay.file_names import file_name_of
from relay.plan.custom_list import (
    cut_lists,
    list_file,
    list_names,
    write_list,
    write_list_calls,
)
from relay.plan.manifest import (
    Plan,
    PlanFile,
    PlanSync,
    canonical_json,
    manifest_of,
    read_plan,
    suppress_hash_of,
)
from relay.plan.payloads import delivery_of, limits_of
from relay.plan.requests import (
    ROWS_A_BATCH,
    Limits,
    bounded_memory,
    cut_requests,
    write_bodies,
    write_rows,
)
from relay.plan.stream_csv import write_stream_csv
from relay.settings import Home

# How a person uploads the same changes by hand, in each vendor's own form (DESIGN §2.5).
_HAND_UPLOADS = {
    "moengage": {
        "added_csv": "select key_value as uid from sealed_rows where phase = 2",
        "removed_csv": "select key_value as uid from sealed_rows where phase = 1",
        # A cohort-sync request has user ids only; these are for a file segment of their own.
        "anonymous_csv": "select key_value as moe_anonymous_id from fields.moengage_file_segments"
        " where sync_name = $sync and column_name = 'moe_anonymous_id'",
    },
}

# The same changes to read, one a row: the rows file stands in order already.
_CHANGES = (
    "select action, reason, key_type, key_value, match_key, cohort_id, cohort_name, request,"
    " request_position, change_id from sealed_rows"
)


@dataclass(frozen=True)
class SealedSync:
    """What sealing one sync gave: its counts by action, its hash and its files."""

    counts: dict[str, int]
    changes_hash: str
    files: list[PlanFile]


@contextmanager
def sealing_folder(home: Home) -> Iterator[Path]:
    """A folder in the outbox to seal into; gone afterwards unless it was given its plan's name.

    The caller holds the lock, so what others were sealing when they were killed goes too.
    """
    for left in home.outbox.glob(".sealing-*"):
        shutil.rmtree(left, ignore_errors=True)
    folder = home.outbox / f".sealing-{os.getpid()}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def seal_sync(
    connection: DuckDBPyConnection,
    folder: Path,
    *,
    name: str,
    kind: str,
    destination: str,
    delivery: str | None,
    payload: str,
    sends: bool = True,
) -> SealedSync:
    """Write the files of one sync.

    Args:
        connection: Open warehouse, built.
        folder: Where to write.
        name: The sync.
        kind: cohort_sync, event_import or event_export.
        destination: Of the sync.
        delivery: Of the sync, where it has one.
        payload: Query of its payload rows.
        sends: False to record the rows without a request (an adopted segment): request 0.

    Raises:
        PlanError: A record is over the destination's limit of a request.
    """
    limits, send = limits_of(connection, destination, delivery_of(kind, destination, delivery))
    is_list = delivery == "custom_list"
    if is_list and sends:
        cut = cut_lists(connection, payload)
    else:
        cut = cut_requests(connection, payload, limits, sends=sends)
    files = []
    stem = file_name_of(name)
    rows_path = folder / f"{stem}.rows.parquet"
    if rows_path.exists():
        raise PlanError(f"{name}: another sync has files of the same names; give it another name")
    total = write_rows(connection, cut, rows_path)
    if sends:
        path = folder / f"{stem}.requests.ndjson"
        write = write_list_calls if is_list else write_bodies
        requests = write(connection, cut, path)
        files.append(_file_of(path, name, "requests", total, requests, send))
    files.append(_file_of(rows_path, name, "rows", total, 0, None))
    _show_sealed_rows(connection, payload, rows_path)
    with bounded_memory(connection):
        files.append(_write_csv(connection, folder / f"{stem}.csv", name, "csv", _CHANGES))
        for role, query in _HAND_UPLOADS.get(destination, {}).items() if sends else ():
            path = folder / f"{stem}.{role.removesuffix('_csv')}.csv"
            file = _write_csv(connection, path, name, role, f"{query} order by all")
            if role == "anonymous_csv" and not file.rows:
                path.unlink()
                continue
            files.append(file)
    if sends and (kind, destination) == ("cohort_sync", "clevertap"):
        files += _write_lists(connection, folder, name, limits, every=is_list)
    if sends and (kind, destination) == ("cohort_sync", "lytics"):
        for role, phase in (("added_csv", 2), ("removed_csv", 1)):
            path = folder / f"{stem}.{role.removesuffix('_csv')}.csv"
            rows = write_stream_csv(connection, cut, phase, path)
            files.append(_file_of(path, name, role, rows, 0, None))
    counts: dict[str, int] = dict(
        connection.execute(
            "select action, count(*) from sealed_rows group by action order by action"
        ).fetchall()
    )
    return SealedSync(counts, changes_hash_of(connection, payload), files)


def _write_lists(
    connection: DuckDBPyConnection, folder: Path, sync: str, limits: Limits, *, every: bool
) -> list[PlanFile]:
    """The list that the segment will be, for CleverTap's custom list or for a hand.

    With `every`, also the lists that end: the same sync's under a former name.
    """
    names = list_names(connection)
    files = []
    for place, name in enumerate(names if every else names[:1], start=1):
        path = folder / list_file(sync, place)
        rows = write_list(
            connection, path, sync=sync, name=name, limits=limits if every else Limits(None, None)
        )
        files.append(_file_of(path, sync, "members_csv", rows, 0, None))
    return files


def _show_sealed_rows(connection: DuckDBPyConnection, payload: str, path: Path) -> None:
    """Make the temporary view `sealed_rows`: the rows file in its order, and the cohort."""
    cohort = connection.execute(f"select cohort_id from {payload} limit 1").fetchone()
    cohort_id = "null" if cohort is None or cohort[0] is None else f"'{_quoted(cohort[0])}'"
    connection.execute(
        "create or replace temp view sealed_rows as select * rename (position as request_position),"
        f" cast({cohort_id} as varchar) as cohort_id from read_parquet('{_quoted(path)}')"
    )


def changes_hash_of(connection: DuckDBPyConnection, rows: str) -> str:
    """What the changes are, whatever the time: a hash over each change and its payload in order."""
    digest = hashlib.sha256()
    separator = ""
    with bounded_memory(connection):
        reader = connection.execute(
            "select change_id || ':' || coalesce(payload_hash, '') as change"
            f" from {rows} order by position"
        ).to_arrow_reader(ROWS_A_BATCH)
        for batch in reader:
            if batch.num_rows:
                digest.update(f"{separator}{','.join(batch.column(0).to_pylist())}".encode())
                separator = ","
    return digest.hexdigest()


def finish_plan(
    home: Home,
    folder: Path,
    *,
    kind: str,
    created_at: str,
    undoes: str | None,
    syncs: list[PlanSync],
    files: list[PlanFile],
    suppress: Path | None,
) -> Plan:
    """Write the manifest, make the plan's ledger file, and give the folder its name.

    The empty ledger file comes before the plan: a plan without one has lost its ledger.
    """
    manifest: dict[str, Any] = manifest_of(
        kind=kind,
        created_at=created_at,
        undoes=undoes,
        syncs=syncs,
        files=files,
        suppress_sha256=suppress_hash_of(suppress),
    )
    with writing(folder / "manifest.json") as file:
        file.write(canonical_json(manifest))
    plan_id = manifest["plan_id"]
    home.ledger.mkdir(parents=True, exist_ok=True)
    ledger_file = home.ledger / f"{plan_id}.ndjson"
    ledger_file.touch()
    sync_file(ledger_file)
    sync_folder(home.ledger)
    reach("plan.before_rename")
    final = home.outbox / plan_id
    if not (final / "manifest.json").exists():
        # A folder without a manifest cannot be a plan: nothing that was sealed is removed here.
        shutil.rmtree(final, ignore_errors=True)
        folder.rename(final)
        sync_folder(home.outbox)
    reach("plan.sealed")
    return read_plan(home, plan_id)


def _write_csv(
    connection: DuckDBPyConnection, path: Path, sync: str, role: str, query: str
) -> PlanFile:
    query = query.replace("$sync", "'" + sync.replace("'", "''") + "'")
    ((rows,),) = connection.execute(
        f"copy ({query}) to '{_quoted(path)}' (format csv, header true)"
    ).fetchall()
    sync_file(path)
    return _file_of(path, sync, role, rows, 0, None)


def _quoted(text: Path | str) -> str:
    return str(text).replace("'", "''")


def _file_of(
    path: Path, sync: str, role: str, rows: int, requests: int, send: dict[str, Any] | None
) -> PlanFile:
    return PlanFile(
        sync=sync,
        role=role,
        path=path.name,
        sha256=sha256_of(path),
        rows=rows,
        requests=requests,
        bytes=path.stat().st_size,
        send=send,
    )
