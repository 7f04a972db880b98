"""MoEngage's events: Streams request bodies and cloud export files, each event once.

Both shapes may stand in one file, one JSON object a line: a Streams body with its list of `events`,
or an export line with one `event`. An event that a request delivers again (MoEngage repeats a whole
batch up to three times) or that comes by both ways is known by its `event_uuid`.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
from duckdb import DuckDBPyConnection

from relay.load.json_values import epoch_seconds, identifier, json_object, not_held, scalar
from relay.load.lines import LINE_BYTES, Line, batches_of, opened, read_lines
from relay.load.rejected import REJECTED_LINES, keep_rejected_lines, start_rejected_lines
from relay.load.result import LoadResult
from relay.load.slot import shown

SOURCE = "moengage_events"
# MoEngage's own warehouse tables hold an event_uuid in 256 characters.
LONGEST_UUID = 256
# A request is repeated within minutes; the cloud export of the same events follows within a day.
RECENT_DAYS = 3

# Column of raw.moengage_events: key of the event, how its JSON value is read.
_COLUMNS = {
    "event_code": scalar,
    "event_name": scalar,
    "event_type": scalar,
    "event_source": scalar,
    "event_time": epoch_seconds,
    "uid": identifier,
    "email_id": scalar,
    "push_id": scalar,
    "mobile_number": scalar,
    "event_attributes": json_object,
    "user_attributes": json_object,
    "device_attributes": json_object,
}


def load_moengage_files(
    connection: DuckDBPyConnection,
    files: Sequence[tuple[Path, str]],
    *,
    load_id: int,
    loaded_at: datetime,
) -> LoadResult:
    """Store the events of some files that are not stored yet. The caller holds a transaction.

    Many small files cost little more than one: their lines are read together.

    Args:
        connection: Open warehouse with the raw tables.
        files: Each with its path and its name below landing/; JSON lines, gzip or plain, or one
            JSON document over several lines.
        load_id: The number of this load.
        loaded_at: When they are loaded, UTC, with a time zone.

    Returns:
        The counts. A line that cannot be read, and an event without `event_uuid`, is rejected: it
        is kept in `raw.rejected_rows` with its bytes, and the rest is stored. An event whose
        `event_time` cannot be read is stored without.

    Raises:
        InputFileError: A file is cut off, damaged or of another kind.

    Source:
        MoEngage, Streams: API Request Format; Data Export Glossary: Generic Export Schema.
    """
    names = [name for _, name in files]
    at = loaded_at.replace(tzinfo=None)
    connection.execute(_START)
    start_rejected_lines(connection)
    for batch in batches_of(_lines_of(files)):
        _store_batch(connection, batch, load_id, at)
    rejected = keep_rejected_lines(
        connection, SOURCE, source_files=names, load_id=load_id, loaded_at=loaded_at
    )
    connection.execute(
        "delete from raw.moengage_files where list_contains(?, source_file)", [names]
    )
    connection.execute(_FILES, {"names": names, "load_id": load_id, "loaded_at": at.isoformat()})
    ((events, loaded),) = connection.execute(
        "select coalesce(sum(events), 0), coalesce(sum(new), 0) from counted_events"
    ).fetchall()
    return LoadResult(
        SOURCE,
        files=tuple(names),
        rows=events + rejected,
        loaded=loaded,
        duplicates=events - loaded,
        rejected=rejected,
    )


def _lines_of(files: Sequence[tuple[Path, str]]) -> Iterator[tuple[str, Line]]:
    for path, source_file in files:
        with opened(path) as content:
            for line in _lines(content, path):
                yield source_file, line


def _lines(content: BinaryIO, path: Path) -> Iterator[Line]:
    """The file's lines; one line where the whole file is one document laid out over several."""
    start = content.tell()
    first = list(itertools.islice(read_lines(content, path), 2))
    content.seek(start)
    if len(first) == 2 and not _is_json(first[0].content):
        whole = content.read(LINE_BYTES + 1)
        if len(whole) <= LINE_BYTES and _is_json(whole):
            return iter([Line(1, whole)])
        content.seek(start)
    return read_lines(content, path)


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return False
    return True


def _store_batch(
    connection: DuckDBPyConnection, batch: pa.Table, load_id: int, at: datetime
) -> None:
    """Store what is new of one batch, and count events and new ones by file."""
    with shown(connection, "batch_lines", batch):
        connection.execute(_SHAPES)
        connection.execute(_EVENTS)
    connection.execute(_REJECT_LINES)
    connection.execute(_REJECT_EVENTS)
    ((earliest, latest),) = connection.execute(
        "select min(event_time), max(event_time) from incoming_events where event_uuid is not null"
    ).fetchall()
    # An event has one time wherever it comes from, and what comes twice comes soon: only that
    # stretch of what is stored is looked at, and what was loaded lately.
    recently = (at - timedelta(days=RECENT_DAYS)).isoformat()
    stretch = {"earliest": earliest, "latest": latest, "recently": recently}
    connection.execute(_NEW_EVENTS, stretch)
    connection.execute(
        f"insert into raw.moengage_events by name {_STORED}",
        {"load_id": load_id, "loaded_at": at.isoformat()},
    )
    connection.execute(_COUNT)


_START = """
    create or replace temp table counted_events
        (source_file varchar, events bigint, new bigint)
"""

_SHAPES = """
    create or replace temp table incoming_lines as
    select
        source_file,
        line_number,
        content,
        try(decode(content)) as line,
        case
            when line is null then 'is not UTF-8 text'
            when not json_valid(line) then 'is not JSON'
            when json_type(line, '$.events') = 'ARRAY' then null
            when json_type(line, '$.event') = 'OBJECT' then null
            else 'is neither a Streams body (list `events`) nor an export line (object `event`)'
        end as problem
    from batch_lines
"""

_KEYS = ["event_uuid", *_COLUMNS]
_PATHS = ["$." + key for key in _KEYS]
_UUID = f"nullif(trim({scalar('found[1]')}), '')"
_TYPED = ", ".join(
    f"{read(f'found[{place}]')} as {column}"
    for place, (column, read) in enumerate(_COLUMNS.items(), start=2)
)
_ANONYMOUS_ID = identifier("json_extract(user_attributes, '$.moe_anonymous_id')")
_MOENGAGE_USER_ID = scalar("json_extract(user_attributes, '$.moengage_user_id')")
_EXTRA = not_held("event", {key: f"{key} is not null" for key in _KEYS})

_EVENTS = f"""
    create or replace temp table incoming_events as
    with lists as (
        select
            source_file,
            line_number,
            json_merge_patch(line, '{{"events": null, "event": null}}') as envelope,
            if(
                json_type(line, '$.events') = 'ARRAY',
                from_json(json_extract(line, '$.events'), '["JSON"]'),
                [json_extract(line, '$.event')]
            ) as events
        from incoming_lines
        where problem is null
    ),
    events as (
        select
            source_file,
            line_number,
            envelope,
            unnest(events) as event,
            generate_subscripts(events, 1) as event_number
        from lists
    ),
    found as (
        select
            source_file,
            line_number,
            event_number,
            event,
            nullif(cast(envelope as varchar), '{{}}') as envelope,
            json_extract(event, {_PATHS}) as found
        from events
    ),
    typed as (
        select
            source_file,
            line_number,
            event_number,
            event,
            envelope,
            if(length({_UUID}) <= {LONGEST_UUID}, {_UUID}, null) as event_uuid,
            {_TYPED}
        from found
    )
    select
        *,
        {_ANONYMOUS_ID} as moe_anonymous_id,
        {_MOENGAGE_USER_ID} as moengage_user_id,
        {_EXTRA} as extra
    from typed
"""

_REJECT_LINES = f"""
    insert into {REJECTED_LINES}
    select source_file, line_number, problem, content
    from incoming_lines
    where problem is not null
"""

_REJECT_EVENTS = f"""
    insert into {REJECTED_LINES}
    select
        source_file,
        line_number,
        'event ' || event_number || ': expected event_uuid, text of 1 to {LONGEST_UUID} characters',
        encode(cast(event as varchar))
    from incoming_events
    where event_uuid is null
"""

_NEW_EVENTS = """
    create or replace temp table new_events as
    with once as (
        select *
        from incoming_events
        where event_uuid is not null
        qualify row_number() over (
            partition by event_uuid order by source_file, line_number, event_number
        ) = 1
    )
    select once.*
    from once
    where
        not exists (
            select 1
            from raw.moengage_events as stored
            where
                stored.event_uuid = once.event_uuid
                and stored.event_time between $earliest and $latest
        )
        and not exists (
            select 1
            from raw.moengage_events as stored
            where stored.event_uuid = once.event_uuid and stored.event_time is null
        )
        and not exists (
            select 1
            from raw.moengage_events as stored
            where
                stored.event_uuid = once.event_uuid
                and stored.loaded_at >= cast($recently as timestamp)
        )
"""

_STORED = """
    select
        * exclude (line_number, event_number, event),
        $load_id as load_id,
        cast($loaded_at as timestamp) as loaded_at
    from new_events
    order by source_file, line_number, event_number
"""

_COUNT = """
    insert into counted_events
    select source_file, count(*), 0
    from incoming_events
    where event_uuid is not null
    group by source_file
    union all
    select source_file, 0, count(*)
    from new_events
    group by source_file
"""

_FILES = f"""
    insert into raw.moengage_files by name
    with counted as (
        select source_file, sum(events) as events, sum(new) as new
        from counted_events
        group by source_file
    ),
    rejected as (
        select source_file, count(*) as rejected from {REJECTED_LINES} group by source_file
    )
    select
        names.source_file,
        coalesce(events, 0) + coalesce(rejected, 0) as row_count,
        coalesce(new, 0) as loaded_count,
        coalesce(events, 0) - coalesce(new, 0) as duplicate_count,
        coalesce(rejected, 0) as rejected_count,
        $load_id as load_id,
        cast($loaded_at as timestamp) as loaded_at
    from (select unnest($names) as source_file) as names
    left join counted on names.source_file = counted.source_file
    left join rejected on names.source_file = rejected.source_file
"""
