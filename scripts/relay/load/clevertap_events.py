"""CleverTap's events out of export files, the only way its engagement events can be read.

An event has no id. It is known by a hash of its name, its user, its `ts` and its properties.
Equal lines of one file are as many events; a line that comes again in an overlapping file is the
same event: how often an event happened is the most that any one file says.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
from duckdb import DuckDBPyConnection

from relay.load.clevertap_rows import batches_of_rows, read_rows
from relay.load.json_values import identifier, json_object, not_held, scalar
from relay.load.lines import opened
from relay.load.rejected import REJECTED_LINES, keep_rejected_lines, start_rejected_lines
from relay.load.result import LoadResult
from relay.load.slot import shown

SOURCE = "clevertap_events"


@dataclass(frozen=True)
class Load:
    """Under which number, when and from where rows are stored.

    Attributes:
        load_id: The number of this load.
        loaded_at: When it is loaded, UTC, with a time zone.
        time_zone: Zone of the CleverTap project, in which `ts` is written.
        origin: `file` or `api`.
    """

    load_id: int
    loaded_at: datetime
    time_zone: str
    origin: str


def load_clevertap_file(
    connection: DuckDBPyConnection, path: Path, *, source_file: str, load: Load
) -> LoadResult:
    """Store the events of one export file that are not stored yet. The caller holds a transaction.

    Args:
        connection: Open warehouse with the raw tables.
        path: JSON lines or CSV, gzip or plain, the name of the events in the first line.
        source_file: The file's name below landing/.
        load: Of this load; its `origin` is `file`.

    Returns:
        Its counts. A row that cannot be read, or has no event name, is rejected: it is kept in
        `raw.rejected_rows` with its bytes, and the rest of the file is stored. An event whose `ts`
        cannot be read is stored without.

    Raises:
        InputFileError: The file is cut off, damaged, of another kind, or a CSV without a header.

    Source:
        CleverTap, data export to S3: JSON; partner exports: export format.
    """
    start_rejected_lines(connection)
    start_counting(connection)
    events = new = 0
    with opened(path) as content:
        file_event_name, rows = read_rows(content, path)
        for batch in batches_of_rows(rows):
            read, stored = store_rows(connection, batch, file_event_name, source_file, load)
            events += read
            new += stored
    rejected = keep_rejected_lines(
        connection,
        SOURCE,
        source_files=[source_file],
        load_id=load.load_id,
        loaded_at=load.loaded_at,
    )
    return LoadResult(
        SOURCE,
        files=(source_file,),
        rows=events + rejected,
        loaded=new,
        duplicates=events - new,
        rejected=rejected,
    )


def start_counting(connection: DuckDBPyConnection) -> None:
    """Begin a new file or window: no event of it was seen yet."""
    connection.execute(
        "create or replace temp table seen_events (event_key varchar, occurrences bigint)"
    )


def store_rows(
    connection: DuckDBPyConnection,
    batch: pa.Table,
    event_name: str | None,
    source_file: str,
    load: Load,
) -> tuple[int, int]:
    """Store what is new of some rows; how many events they are and how many of them were new.

    Args:
        connection: In a transaction, after `start_rejected_lines` and `start_counting`.
        batch: Rows of `ROW_TYPES`.
        event_name: The name of their event, where the rows do not say it.
        source_file: Where they stand, below landing/.
        load: Of this load.
    """
    with shown(connection, "batch_rows", batch):
        connection.execute(_RECORDS)
    connection.execute(_EVENTS, {"event_name": event_name or None})
    connection.execute(_REJECT, {"source_file": source_file})
    ((earliest, latest),) = connection.execute(
        "select min(ts), max(ts) from incoming_events where problem is null"
    ).fetchall()
    # The `ts` is part of the key: only that stretch of what is stored is looked at.
    stretch = {"earliest": earliest, "latest": latest}
    ((events,),) = connection.execute(_COUNTED, stretch).fetchall()
    connection.execute(_SEEN)
    facts = {"source_file": source_file, "time_zone": load.time_zone, "origin": load.origin}
    connection.execute(_CONFIRM, {**stretch, **facts})
    loaded_at = load.loaded_at.replace(tzinfo=None).isoformat()
    ((new,),) = connection.execute(
        f"insert into raw.clevertap_events by name {_NEW_EVENTS}",
        {**facts, "load_id": load.load_id, "loaded_at": loaded_at},
    ).fetchall()
    return events, new


def name_key(name: str) -> str:
    """SQL: an event's name as it is compared: without case, white space and joining marks.

    Source:
        CleverTap, Platform Considerations: names are not case-sensitive, and names that differ
        only by spaces are one event. The other spellings of its pages differ by marks alone.
    """
    return f"regexp_replace(lower({name}), '[\\s_./-]+', '', 'g')"


def _entries(properties: str) -> str:
    """SQL: properties as one text, their order and the types of their values left aside."""
    keys = f"json_keys({properties})"
    return (
        f"case when len({keys}) = len(list_distinct({keys})) then"
        f" cast(to_json(list_sort(list_filter(map_entries(cast({properties} as map(varchar,"
        " varchar))), lambda entry: entry.value is not null))) as varchar)"
        f" else cast({properties} as varchar) end"
    )


# Column of raw.clevertap_events: its keys in a row (files and API differ), and how it is read.
_COLUMNS = {
    "profile": (("profile",), json_object),
    "device_info": (("deviceInfo",), json_object),
    "event_props": (("eventProps", "event_props"), json_object),
    "session_props": (("sessionProps", "session_props"), json_object),
    "control_group_name": (("controlGroupName",), scalar),
}
_KEYS = ["eventName", "ts", *(key for keys, _ in _COLUMNS.values() for key in keys)]


def _found(key: str) -> str:
    return f"found[{_KEYS.index(key) + 1}]"


def _column(keys: tuple[str, ...], read: Callable[[str], str]) -> str:
    return f"coalesce({', '.join(read(_found(key)) for key in keys)})"


_NAME = scalar(_found("eventName"))
_TS = scalar(_found("ts"))
_TYPED = ", ".join(f"{_column(*how)} as {column}" for column, how in _COLUMNS.items())
_IDENTIFIERS = ", ".join(
    f"""{identifier(f"json_extract(profile, '$.{key}')")} as {column}"""
    for key, column in {
        "identity": "identity",
        "objectId": "object_id",
        "email": "email",
        "phone": "phone",
    }.items()
)
_EXTRA = not_held(
    "record",
    {
        "eventName": f"{_NAME} is not null",
        "ts": "ts is not null",
        **{
            key: f"{read(_found(key))} is not null"
            for keys, read in _COLUMNS.values()
            for key in keys
        },
    },
)
_PATHS = ["$." + key for key in _KEYS]

_RECORDS = """
    create or replace temp table incoming_rows as
    with read as (
        select
            line_number,
            content,
            problem,
            coalesce(record, try(decode(content))) as record
        from batch_rows
    )
    select
        line_number,
        content,
        record,
        case
            when problem is not null then problem
            when record is null then 'is not UTF-8 text'
            when not json_valid(record) then 'is not JSON'
            when json_type(record) != 'OBJECT' then 'expected a JSON object'
        end as problem
    from read
"""

_EVENTS = f"""
    create or replace temp table incoming_events as
    with found as (
        select line_number, content, record, json_extract(record, {_PATHS}) as found
        from incoming_rows
        where problem is null
    ),
    typed as (
        select
            line_number,
            content,
            record,
            found,
            coalesce(nullif(trim({_NAME}), ''), $event_name) as event_name,
            case
                when try_strptime({_TS}, '%Y%m%d%H%M%S') is not null then try_cast({_TS} as bigint)
            end as ts,
            {_TYPED}
        from found
    ),
    named as (
        select *, {_IDENTIFIERS}
        from typed
    )
    select
        * exclude (found, record),
        left(
            sha256(cast(to_json([
                {name_key("event_name")},
                coalesce('i:' || identity, 'o:' || object_id, ''),
                cast(ts as varchar),
                {_entries("event_props")}
            ]) as varchar)),
            32
        ) as event_key,
        {_EXTRA} as extra,
        case
            when event_name is null
                then 'expected the name of the event, in eventName or in the first line of the file'
            when ts is null then 'expected ts, a time of 14 digits: yyyymmddHHMMSS'
        end as problem
    from named
"""

_REJECT = f"""
    insert into {REJECTED_LINES}
    select $source_file, line_number, problem, content
    from incoming_rows
    where problem is not null
    union all
    select $source_file, line_number, problem, content
    from incoming_events
    where problem is not null
"""

_COUNTED = """
    create or replace temp table counted_events as
    with counted as (
        select
            incoming_events.* exclude (content, problem),
            coalesce(seen_events.occurrences, 0) + row_number() over (
                partition by incoming_events.event_key order by incoming_events.line_number
            ) as occurrence
        from incoming_events
        left join seen_events on incoming_events.event_key = seen_events.event_key
        where incoming_events.problem is null
    ),
    stored as (
        select event_key, occurrence
        from raw.clevertap_events
        where ts between $earliest and $latest
    )
    select counted.*, stored.event_key is not null as is_stored
    from counted
    left join stored
        on counted.event_key = stored.event_key and counted.occurrence = stored.occurrence
"""

_SEEN = """
    create or replace temp table seen_events as
    select event_key, max(occurrences) as occurrences
    from (
        select event_key, occurrences from seen_events
        union all
        select event_key, occurrence from counted_events
    )
    group by event_key
"""

# What is stored and comes again: a file is better evidence than the API, and the zone given now is
# taken for the right one.
_CONFIRM = """
    update raw.clevertap_events as stored
    set
        source_file = if($origin = 'file' and origin = 'api', $source_file, source_file),
        origin = if($origin = 'file', 'file', origin),
        is_withdrawn = false,
        time_zone = $time_zone
    from counted_events
    where
        counted_events.is_stored
        and stored.event_key = counted_events.event_key
        and stored.occurrence = counted_events.occurrence
        and stored.ts between $earliest and $latest
        and (
            stored.is_withdrawn
            or (stored.origin = 'api' and $origin = 'file')
            or stored.time_zone != $time_zone
        )
"""

_NEW_EVENTS = """
    select
        * exclude (line_number, is_stored),
        $time_zone as time_zone,
        $origin as origin,
        false as is_withdrawn,
        $source_file as source_file,
        $load_id as load_id,
        cast($loaded_at as timestamp) as loaded_at
    from counted_events
    where not is_stored
    order by line_number, event_key
"""
