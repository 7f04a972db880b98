"""MoEngage's events: Streams request bodies and cloud export files, each event once.

Both shapes may stand in one file, one JSON object a line: a Streams body with its list of `events`,
or an export line with one `event`. An event that a request delivers again (MoEngage repeats a whole
batch up to three times) or that comes by both ways is known by its `event_uuid`.
"""

import itertools
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
from duckdb import DuckDBPyConnection

from relay.load.json_values import epoch_seconds, identifier, json_object, not_held, scalar
from relay.load.lines import LINE_BYTES, Line, batches_of, opened, read_lines
from relay.load.rejected import REJECTED_LINES, keep_rejected_lines, start_rejected_lines
from relay.load.result import LoadResult

SOURCE = "moengage_events"
# MoEngage's own warehouse tables hold an event_uuid in 256 characters.
LONGEST_UUID = 256

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


def load_moengage_file(
    connection: DuckDBPyConnection,
    path: Path,
    *,
    source_file: str,
    load_id: int,
    loaded_at: datetime,
) -> LoadResult:
    """Store the events of one file that are not stored yet. The caller holds a transaction.

    Args:
        connection: Open warehouse with the raw tables.
        path: JSON lines, gzip or plain; or one JSON document over several lines.
        source_file: The file's name below landing/.
        load_id: The number of this load.
        loaded_at: When it is loaded, UTC, with a time zone.

    Returns:
        Its counts. A line that cannot be read, and an event without `event_uuid`, is rejected: it
        is kept in `raw.rejected_rows` with its bytes, and the rest of the file is stored. An event
        whose `event_time` cannot be read is stored without.

    Raises:
        InputFileError: The file is cut off, damaged or of another kind.

    Source:
        MoEngage, Streams: API Request Format; Data Export Glossary: Generic Export Schema.
    """
    start_rejected_lines(connection)
    loaded = duplicates = 0
    with opened(path) as content:
        for batch in batches_of(_lines(content, path)):
            events, new = _store_batch(connection, batch, source_file, load_id, loaded_at)
            loaded += new
            duplicates += events - new
    rejected = keep_rejected_lines(
        connection, SOURCE, source_file=source_file, load_id=load_id, loaded_at=loaded_at
    )
    result = LoadResult(
        SOURCE,
        files=(source_file,),
        rows=loaded + duplicates + rejected,
        loaded=loaded,
        duplicates=duplicates,
        rejected=rejected,
    )
    connection.execute("delete from raw.moengage_files where source_file = ?", [source_file])
    connection.execute(
        "insert into raw.moengage_files values (?, ?, ?, ?, ?, ?, ?)",
        [source_file, result.rows, loaded, duplicates, rejected, load_id, _naive(loaded_at)],
    )
    return result


def _naive(instant: datetime) -> str:
    return instant.replace(tzinfo=None).isoformat()


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
    connection: DuckDBPyConnection,
    batch: pa.Table,
    source_file: str,
    load_id: int,
    loaded_at: datetime,
) -> tuple[int, int]:
    """Store what is new of one batch; how many events it has and how many of them were new."""
    connection.register("batch_lines", batch)
    connection.execute(_SHAPES)
    connection.execute(_EVENTS)
    connection.unregister("batch_lines")
    connection.execute(_REJECT_LINES)
    connection.execute(_REJECT_EVENTS)
    ((events, earliest, latest),) = connection.execute(
        "select count(*), min(event_time), max(event_time) from incoming_events"
        " where event_uuid is not null"
    ).fetchall()
    # An event has one time wherever it comes from: only that stretch of what is there is looked at.
    ((new,),) = connection.execute(
        f"insert into raw.moengage_events by name {_NEW_EVENTS}",
        {
            "earliest": earliest,
            "latest": latest,
            "source_file": source_file,
            "load_id": load_id,
            "loaded_at": _naive(loaded_at),
        },
    ).fetchall()
    return events, new


_SHAPES = """
    create or replace temp table incoming_lines as
    select
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
            line_number,
            envelope,
            unnest(events) as event,
            generate_subscripts(events, 1) as event_number
        from lists
    ),
    found as (
        select
            line_number,
            event_number,
            event,
            nullif(cast(envelope as varchar), '{{}}') as envelope,
            json_extract(event, {_PATHS}) as found
        from events
    ),
    typed as (
        select
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
    select line_number, problem, content from incoming_lines where problem is not null
"""

_REJECT_EVENTS = f"""
    insert into {REJECTED_LINES}
    select
        line_number,
        'event ' || event_number || ': expected event_uuid, text of 1 to {LONGEST_UUID} characters',
        encode(cast(event as varchar))
    from incoming_events
    where event_uuid is null
"""

_NEW_EVENTS = """
    with once as (
        select *
        from incoming_events
        where event_uuid is not null
        qualify row_number() over (
            partition by event_uuid order by line_number, event_number
        ) = 1
    )
    select
        once.* exclude (line_number, event_number, event),
        $source_file as source_file,
        $load_id as load_id,
        cast($loaded_at as timestamp) as loaded_at
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
    order by once.line_number, once.event_number
"""
