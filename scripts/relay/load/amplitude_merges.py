"""Merged Amplitude ids, from the files of Amplitude's bucket exports.

Source: Amplitude's Amazon S3 destination page: `-{organisation}_yyyy-MM-dd_H.json.gz`, rows
`{"scope", "merge_time", "merge_server_time", "amplitude_id", "merged_amplitude_id"}`; the former id
was merged into the latter. Only files of merges hold such rows; the Export API has none.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import structlog
from duckdb import DuckDBPyConnection

from relay.errors import InputFileError
from relay.load import landing
from relay.load.event_columns import cell, literal, without_line_feed
from relay.load.event_files import frugal, note_file
from relay.load.event_writer import Counts
from relay.load.export_files import export_files, is_merge_file
from relay.load.landing import Landed
from relay.load.members import members_of
from relay.load.progress import NoProgress, Progress
from relay.load.rejected import REJECTED_LINES, keep_rejected_lines, start_rejected_lines
from relay.load.result import LoadResult, Note
from relay.load.slot import shown
from relay.load.units import Unit, ahead, units_of
from relay.settings import Settings
from relay.warehouse import transaction

log = structlog.get_logger(__name__)

SOURCE = "amplitude_merges"
# They come hourly, and most hold a few lines: each alone would cost far more than its lines.
FILES_A_TRANSACTION = 200


def load_merge_files(
    connection: DuckDBPyConnection,
    settings: Settings,
    paths: Sequence[Path],
    *,
    progress: Progress | None = None,
) -> LoadResult:
    """Load merged ids; the same merge is stored once, whatever files hold it.

    Args:
        connection: Open warehouse with the raw tables; the caller holds the lock.
        settings: Whose landing/ and clock.
        paths: JSON lines, gzip or plain, or folders, in which the files of merges are taken.
        progress: Told how far it is.

    Returns:
        The counts; each file is stored as a whole or, with a failure by name, not at all. A line
        that is no merge is kept in `raw.rejected_rows`.

    Raises:
        InputFileError: A path does not exist, or a folder has no file of merges.
    """
    progress = progress or NoProgress()
    landing.sweep(settings.home, SOURCE)
    files = export_files(paths, takes=is_merge_file)
    result = LoadResult(SOURCE)
    progress.expect(len(files))
    for start in range(0, len(files), FILES_A_TRANSACTION):
        some = files[start : start + FILES_A_TRANSACTION]
        result += _load_files(connection, settings, some, progress)
    return result


def _load_files(
    connection: DuckDBPyConnection, settings: Settings, paths: Sequence[Path], progress: Progress
) -> LoadResult:
    """Load some files as one transaction; where one of them is refused, each for itself."""
    result = LoadResult(SOURCE)
    try:
        landed = [landing.land_file(settings.home, SOURCE, path) for path in paths]
        all_counts = _load(connection, settings, landed)
    except InputFileError as error:
        if len(paths) > 1:
            for path in paths:
                result += _load_files(connection, settings, [path], progress)
            return result
        log.warning("file.refused", source=SOURCE)
        progress.advance(1)
        return replace(result, failures=(Note(str(paths[0]), str(error)),))
    for one, counts in zip(landed, all_counts, strict=True):
        result += LoadResult(
            SOURCE,
            files=(one.source_file,),
            rows=counts.rows,
            loaded=counts.loaded,
            duplicates=counts.duplicates,
            rejected=counts.rejected,
        )
        progress.received(one.size)
        progress.stored(counts.rows)
        progress.advance(1)
    return result


def _load(
    connection: DuckDBPyConnection, settings: Settings, landed: Sequence[Landed]
) -> list[Counts]:
    """Store what is new of the files; the counts of each. The same bytes twice are all double."""
    known = {
        sha256: Counts(rows, 0, rows - rejected, rejected)
        for sha256, rows, rejected in connection.execute(
            "select sha256, row_count, rejected from raw.loaded_files"
            " where source = ? and list_contains(?, sha256)",
            [SOURCE, [one.sha256 for one in landed]],
        ).fetchall()
    }
    new: dict[str, Landed] = {}
    for one in landed:
        if one.sha256 not in known:
            new.setdefault(one.sha256, one)
    stored = _store_files(connection, settings, list(new.values())) if new else {}
    every = []
    for one in landed:
        counts = known.get(one.sha256) or stored[one.sha256]
        every.append(counts)
        known[one.sha256] = Counts(counts.rows, 0, counts.rows - counts.rejected, counts.rejected)
    return every


def _store_files(
    connection: DuckDBPyConnection, settings: Settings, landed: Sequence[Landed]
) -> dict[str, Counts]:
    """Store the files as one load; the counts of each, by its hash."""
    now = settings.now()
    rows: Counter[str] = Counter()
    with frugal(connection), transaction(connection):
        ((load_id,),) = connection.execute("select nextval('raw.load_ids')").fetchall()
        start_rejected_lines(connection)
        units = ahead(units_of(_members(landed)))
        try:
            for unit in units:
                rows += _store(connection, unit, load_id, now.astimezone(UTC).replace(tzinfo=None))
        finally:
            units.close()  # type: ignore[attr-defined]
        loaded = _by_file(connection, f"raw.amplitude_merges where load_id = {load_id:d}")
        rejected = _by_file(connection, REJECTED_LINES)
        keep_rejected_lines(
            connection,
            SOURCE,
            source_files=[one.source_file for one in landed],
            load_id=load_id,
            loaded_at=now,
        )
        counts = {}
        for one in landed:
            name = one.source_file
            read, new, bad = rows[name], loaded[name], rejected[name]
            counts[one.sha256] = Counts(read, new, read - new - bad, bad)
            note_file(
                connection,
                one,
                one.sha256,
                "loaded",
                now,
                source=SOURCE,
                counts=counts[one.sha256],
                load_id=load_id,
            )
    return counts


def _members(landed: Iterable[Landed]) -> Iterator[tuple[str, Iterator[bytes]]]:
    for one in landed:
        for member in members_of(one.path):
            yield one.source_file, member.pieces()


def _by_file(connection: DuckDBPyConnection, rows: str) -> Counter[str]:
    """How many of the rows each file has."""
    query = f"select source_file, count(*) from {rows} group by source_file"
    return Counter(dict(connection.execute(query).fetchall()))


def _store(
    connection: DuckDBPyConnection, unit: Unit, load_id: int, loaded_at: object
) -> Counter[str]:
    """Store what is new of a unit; how many lines of it each file has."""
    for line in unit.overlong:
        connection.execute(
            f"insert into {REJECTED_LINES} values (?, ?, 'is too long', ?)",
            [line.source_file, line.line_number, line.start],
        )
    with shown(connection, "unit_lines", unit.lines):
        connection.execute(_read("line" if unit.is_text else "try(decode(line))"))
        connection.execute(
            _reject("encode(unit_lines.line)" if unit.is_text else "unit_lines.line")
        )
    connection.execute(_INSERT, {"load_id": load_id, "loaded_at": loaded_at})
    return _by_file(connection, "merge_lines") + Counter(line.source_file for line in unit.overlong)


_FIELDS = ("scope", "merge_time", "merge_server_time", "amplitude_id", "merged_amplitude_id")
_KINDS = ("integer", "integer", "integer", "amplitude", "amplitude")


def _field(place: int, kind: str) -> str:
    text = cell(literal(kind), f"types[{place}]", f"found[{place}]")
    return f"try_cast({text} as bigint) as {_FIELDS[place - 1]}"


def _is_same(name: str) -> str:
    return f"stored.{name} is not distinct from merge_lines.{name}"


def _read(line: str) -> str:
    return f"""
    create or replace temp table merge_lines as
    select
        line_id,
        source_file,
        line_number,
        {", ".join(_field(place, kind) for place, kind in enumerate(_KINDS, start=1))},
        case
            when line is null then 'is not UTF-8 text'
            when not json_valid(line) then 'is not JSON'
            when amplitude_id is null then 'has no amplitude_id'
            when merged_amplitude_id is null then 'has no merged_amplitude_id'
        end as problem
    from (
        select
            *,
            try(json_extract(line, {[f"$.{name}" for name in _FIELDS]})) as found,
            list_transform(found, lambda value: json_type(value)) as types
        from (select line_id, source_file, line_number, {line} as line from unit_lines)
    )
"""


def _reject(content: str) -> str:
    return f"""
    insert into {REJECTED_LINES}
    select
        merge_lines.source_file,
        merge_lines.line_number,
        merge_lines.problem,
        {without_line_feed(content)}
    from merge_lines
    inner join unit_lines using (line_id)
    where merge_lines.problem is not null
"""


_INSERT = f"""
    insert into raw.amplitude_merges
    select {", ".join(_FIELDS)}, source_file, $load_id, $loaded_at
    from merge_lines
    where problem is null
        and not exists (
            select 1
            from raw.amplitude_merges as stored
            where {" and ".join(map(_is_same, _FIELDS))}
        )
    qualify row_number() over (partition by {", ".join(_FIELDS)} order by line_id) = 1
    order by line_id
"""
