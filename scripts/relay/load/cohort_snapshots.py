"""Cohort snapshots into intervals: a row of a cohort's file, and from when to when files held it.

A file is the whole cohort at `lastComputed`. Raw keeps no copy per snapshot, but for each distinct
row the runs of snapshots that hold it. A snapshot may come at any time, older than others or
between them: the intervals are those of all snapshots in their order, whatever the order they were
loaded in.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from relay.errors import InputFileError
from relay.load.csv_files import CsvText, open_csv
from relay.load.event_columns import literal
from relay.load.landing import Landed

SOURCE = "amplitude_cohorts"
# What DuckDB may hold while it fits a snapshot in; two million members take as long with more.
ENGINE_MEMORY_BYTES = 256_000_000


@dataclass(frozen=True)
class Snapshot:
    """What is said about a snapshot.

    Attributes:
        cohort_id: Amplitude's id of the cohort.
        cohort_name: Its name at that time.
        computed_at: When Amplitude computed it; to the second and in UTC it is, with `cohort_id`,
            the snapshot's identity.
        app_id: Amplitude project, where known.
        declared_size: Members as Amplitude counts them, where known.
    """

    cohort_id: str
    cohort_name: str
    computed_at: datetime
    app_id: int | None = None
    declared_size: int | None = None

    @property
    def snapshot_id(self) -> str:
        """Text that orders as the snapshots of a cohort do."""
        return f"{self.cohort_id}@{self.computed_at.astimezone(UTC):%Y%m%dT%H%M%SZ}"

    @property
    def last_computed(self) -> datetime:
        """The time as raw tables keep it: UTC, to the second, without a zone."""
        return self.computed_at.astimezone(UTC).replace(microsecond=0, tzinfo=None)


@dataclass(frozen=True)
class StoredSnapshot:
    """A snapshot in the warehouse: its number of rows, and whether this load added it."""

    rows: int
    is_new: bool


def store_snapshot(
    connection: DuckDBPyConnection,
    landed: Landed,
    snapshot: Snapshot,
    *,
    now: datetime,
    load_id: int,
    accepts_any_size: bool = False,
    source: Path | None = None,
) -> StoredSnapshot:
    """Add a snapshot, unless it is there already. The caller holds a transaction.

    Args:
        connection: Open warehouse with the raw tables.
        landed: CSV, plain or gzip: a header with `amplitude_id` or `user_id` among its names, then
            one row per Amplitude profile; the header alone for an empty cohort.
        snapshot: Of what and when it is.
        now: When it is loaded, UTC.
        load_id: The number of this load.
        accepts_any_size: Take it although its rows are not as many as declared.
        source: The file as the user named it; for messages.

    Raises:
        InputFileError: It cannot be read to its end, holds groups instead of people, has not as
            many rows as declared, or is another file than the snapshot was loaded from. Nothing of
            it is stored.

    Source:
        Amplitude, Behavioral Cohorts API: the file of a finished download request.
    """
    name = source or landed.path
    known = connection.execute(
        "select row_count, sha256 from raw.amplitude_cohort_snapshots where snapshot_id = ?",
        [snapshot.snapshot_id],
    ).fetchone()
    if known is not None:
        if known[1] != landed.sha256:
            raise InputFileError(
                name,
                f"the snapshot of cohort {snapshot.cohort_id} at {snapshot.last_computed}Z was"
                " loaded from another file; one snapshot is one file",
            )
        return StoredSnapshot(known[0], is_new=False)
    with open_csv(name, landed.path) as text:
        connection.execute(_staged(text))
    ((rows,),) = connection.execute("select count(*) from snapshot_rows").fetchall()
    if snapshot.declared_size not in {None, rows} and not accepts_any_size:
        raise InputFileError(
            name,
            f"has {rows:,} members, Amplitude declares {snapshot.declared_size:,}; the file is not"
            " the whole cohort. Take it all the same with --accept-snapshot",
        )
    _fold_equal_rows(connection)
    _weave(connection, snapshot, landed, load_id)
    connection.execute(
        "insert into raw.amplitude_cohort_snapshots values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            snapshot.snapshot_id,
            snapshot.cohort_id,
            snapshot.cohort_name,
            snapshot.app_id,
            snapshot.last_computed,
            snapshot.declared_size,
            rows,
            landed.source_file,
            landed.sha256,
            load_id,
            now.astimezone(UTC).replace(tzinfo=None),
        ],
    )
    return StoredSnapshot(rows, is_new=True)


def _staged(text: CsvText) -> str:
    """SQL: the temporary table of the file's rows; `values_hash` stands for their properties."""
    columns = text.columns
    ids = {name: columns.pop(name, "null::varchar") for name in ("amplitude_id", "user_id")}
    if set(ids.values()) == {"null::varchar"}:
        problem = (
            "holds a cohort of groups (column group_value), and only people can be members"
            if "group_value" in columns
            else f"has neither a column amplitude_id nor user_id; its header is {text.header[:8]}"
        )
        raise InputFileError(text.source, problem, line=1)
    # Amplitude's ids are digits; a text that is none is kept, under its name, as a property.
    digits = f"regexp_extract(trim({ids['amplitude_id']}), '^0*([0-9]{{1,19}})(?:\\.0*)?$', 1)"
    amplitude_id = f"if(try_cast({digits} as bigint) > 0, try_cast({digits} as bigint), null)"
    values = {name: column for name, column in columns.items() if name}
    has_properties = bool(values)
    values["amplitude_id"] = f"if({amplitude_id} is null, {ids['amplitude_id']}, null)"
    return f"""
        create or replace temp table snapshot_rows as
        select
            {amplitude_id} as amplitude_id,
            nullif({ids["user_id"]}, '') as user_id,
            {_object_of(values, has_properties=has_properties)} as properties,
            hash(properties) as values_hash,
            1::bigint as row_count
        from {text.rows()}
    """


def _object_of(values: dict[str, str], *, has_properties: bool) -> str:
    """SQL: a JSON object of the values that are not empty, its keys in order.

    Empty and missing are one in a CSV. Without any value it is an empty object where the file has
    columns for properties, else null.
    """
    pairs = ", ".join(
        f"case when {value} != '' then {literal(json.dumps(name, ensure_ascii=False) + ':')}"
        f" || to_json({value}) end"
        for name, value in sorted(values.items())
    )
    text = f"'{{' || concat_ws(',', {pairs}) || '}}'"
    if not has_properties:
        text = f"nullif({text}, '{{}}')"
    return text


def _fold_equal_rows(connection: DuckDBPyConnection) -> None:
    """Make one row of equal ones, with their number; there are few, so only these are moved."""
    connection.execute(_EQUAL_ROWS)
    ((count,),) = connection.execute("select count(*) from equal_rows").fetchall()
    if count:
        connection.execute(
            "delete from snapshot_rows where rowid in (select row_id from equal_rows)"
        )
        connection.execute(
            "insert into snapshot_rows by name"
            " select * exclude (row_id), count(*) as row_count from equal_rows group by all"
        )


def _weave(
    connection: DuckDBPyConnection, snapshot: Snapshot, landed: Landed, load_id: int
) -> None:
    """Fit the staged rows in between the snapshot before and the one after."""
    own: dict[str, Any] = {"cohort_id": snapshot.cohort_id, "at": snapshot.last_computed}
    ((before, after),) = connection.execute(_NEIGHBOURS, own).fetchall()
    own |= {
        "before": before,
        "after": after,
        "source_file": landed.source_file,
        "load_id": load_id,
    }
    for statement in (_STANDING, _COMPARED, _SPLIT, _LEFT, _ENTERED_EARLIER, _ENTERED):
        named = {name: value for name, value in own.items() if f"${name}" in statement}
        connection.execute(statement, named)


_NEIGHBOURS = """
    select
        max(last_computed) filter (where last_computed < $at),
        min(last_computed) filter (where last_computed > $at)
    from raw.amplitude_cohort_snapshots
    where cohort_id = $cohort_id
"""

_EQUAL_ROWS = """
    create or replace temp table equal_rows as
    select rowid as row_id, amplitude_id, user_id, properties, values_hash
    from snapshot_rows
    where hash(amplitude_id, user_id, values_hash) in (
        select hash(amplitude_id, user_id, values_hash)
        from snapshot_rows
        group by all
        having count(*) > 1
    )
"""

# The intervals that reach the snapshot before or the one after; of equal rows there is one.
_STANDING = """
    create or replace temp table standing as
    select
        rowid as interval_id,
        amplitude_id,
        user_id,
        hash(cast(properties as varchar)) as values_hash,
        row_count,
        coalesce(entered_at <= $before and coalesce(left_at > $before, true), false) as was_in,
        coalesce(entered_at <= $after and coalesce(left_at > $after, true), false) as is_in_later
    from raw.amplitude_cohort_members
    where cohort_id = $cohort_id
        and (was_in or is_in_later)
"""

# What changes: rows that came between a snapshot without them and this one, and the other way.
# Properties are compared by their hash, beside the ids: they are most of the bytes.
_COMPARED = """
    create or replace temp table compared as
    with
    matched as (
        select
            standing.interval_id,
            snapshot_rows.rowid as row_id,
            coalesce(standing.was_in, false) as was_in,
            coalesce(standing.is_in_later, false) as is_in_later,
            snapshot_rows.row_count is not null as is_in
        from snapshot_rows
        full join standing
            on snapshot_rows.amplitude_id is not distinct from standing.amplitude_id
                and snapshot_rows.user_id is not distinct from standing.user_id
                and snapshot_rows.values_hash = standing.values_hash
                and snapshot_rows.row_count = standing.row_count
    )
    select *
    from matched
    where is_in != was_in
"""

# In the snapshots on both sides, but not in this one: the later part is an interval of its own.
_SPLIT = """
    insert into raw.amplitude_cohort_members
    select
        members.cohort_id,
        members.amplitude_id,
        members.user_id,
        members.properties,
        members.row_count,
        $after,
        members.left_at,
        snapshots.source_file,
        snapshots.load_id
    from raw.amplitude_cohort_members as members
    inner join raw.amplitude_cohort_snapshots as snapshots
        on snapshots.cohort_id = $cohort_id and snapshots.last_computed = $after
    where members.rowid in (
        select interval_id from compared where not is_in and was_in and is_in_later
    )
"""

_LEFT = """
    update raw.amplitude_cohort_members
    set left_at = $at
    where rowid in (select interval_id from compared where not is_in and was_in)
"""

_ENTERED_EARLIER = """
    update raw.amplitude_cohort_members
    set entered_at = $at, source_file = $source_file, load_id = $load_id
    where rowid in (select interval_id from compared where is_in and is_in_later)
"""

_ENTERED = """
    insert into raw.amplitude_cohort_members
    select
        $cohort_id,
        amplitude_id,
        user_id,
        properties,
        row_count,
        $at,
        $after,
        $source_file,
        $load_id
    from snapshot_rows
    where rowid in (select row_id from compared where is_in and not is_in_later)
"""
