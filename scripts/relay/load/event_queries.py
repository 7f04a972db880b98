"""What `event_writer` asks DuckDB for. Its module says in which order, and why."""

import pyarrow as pa

from relay.load import event_columns as columns
from relay.load.event_columns import literal, quoted

# A key list that at least this many lines of a unit share is worth a pass of its own.
SHAPE_LINES = 64
# Lines that have to be looked at key by key go through in pieces of this size.
PIECE_BYTES = 2 * 1024 * 1024

GLANCE_TYPES = pa.schema(
    [
        ("line_id", pa.int64()),
        ("uuid", pa.string()),
        ("uploaded_at", pa.timestamp("us")),
        ("shape", pa.int32()),
    ]
)
FRESH_TYPES = pa.schema([("line_id", pa.int64()), ("shape", pa.int32())])
REST_TYPES = pa.schema([("line_id", pa.int64()), ("piece", pa.int64())])
EXAMINED_TYPES = pa.schema(
    [
        ("line_id", pa.int64()),
        ("source_file", pa.string()),
        ("line_number", pa.int64()),
        ("content", pa.binary()),
        ("cells", pa.map_(pa.string(), pa.string())),
        ("extra", pa.string()),
        ("problem", pa.string()),
    ]
)

LINEAGE = "extra, project, source_file, line_number, load_id, loaded_at"
TARGET = f"raw.amplitude_events ({', '.join(map(quoted, columns.COLUMNS))}, {LINEAGE})"

INSERT_REJECTED = f"""
    insert into rejected_events
    select source_file, line_number, problem, {columns.without_line_feed("content")}
    from examined
    where problem is not null and problem != 'blank'
    order by line_id
"""

GLANCE = """
    with
    keyed as (
        select
            line_id,
            try(json_extract_string(line, ['$.uuid', '$.server_upload_time'])) as id_and_time,
            try(json_keys(line)) as keys
        from event_lines
    )
    select
        line_id,
        cast(try_cast(id_and_time[1] as uuid) as varchar) as uuid,
        try_cast(id_and_time[2] as timestamp) as uploaded_at,
        cast(case
            when try_cast(id_and_time[1] as uuid) is null then null
            when try_cast(id_and_time[2] as timestamp) is null then null
            when not regexp_full_match(id_and_time[2], '{written_time}') then null
{shapes}
        end as integer) as shape
    from keyed
"""

COUNT_HOURS_SHAPED = """
    insert into event_hours
    select date_trunc('hour', uploaded_at), count(*)
    from glance
    where shape is not null
    group by all
"""

# Fresh lines that are examined were counted while their shape was known.
COUNT_HOURS_EXAMINED = """
    insert into event_hours
    select date_trunc('hour', cast(cells['server_upload_time'] as timestamp)), count(*)
    from examined
    semi join (select line_id from glance where shape is null) using (line_id)
    where problem is null
    group by all
"""

COMMON_KEYS = f"""
    select try(json_keys(line)) as keys
    from event_lines
    semi join (select line_id from glance where shape is null) using (line_id)
    where keys is not null
    group by keys
    having count(*) >= {SHAPE_LINES}
    order by count(*) desc, keys
"""

STORED = """
    select uuid
    from raw.amplitude_events
    where server_upload_time between $earliest and $latest
"""

FRESH = f"""
    with
    first_ones as (
        select min(line_id) as line_id, uuid
        from glance
        where shape is not null
        group by uuid
    ),
    stored as (
        select uuid from ({STORED}) semi join first_ones using (uuid)
    )
    select line_id, shape
    from glance
    semi join (select line_id from first_ones anti join stored using (uuid)) using (line_id)
"""


def insert_ordinary(extra: str) -> str:
    """The fresh lines of one shape that are ordinary; `extra` is the SQL of that column."""
    values = ",\n        ".join(
        columns.value(name, f"line_values.{quoted(name)}") for name in columns.COLUMNS
    )
    return f"""
    insert into {TARGET}
    select
        {values},
        {extra},
        $project,
        source_file,
        line_number,
        $load_id,
        $loaded_at
    from (
        -- The optimizer would push the conditions below, and parse the line for each of them;
        -- nothing is pushed below an unnest.
        select
            source_file,
            line_number,
            line,
            unnest([json_transform(line, {columns.structure()})]) as line_values
        from event_lines
        semi join (select line_id from fresh where shape = $shape) using (line_id)
    )
    where
    {columns.ordinary("line_values")}
"""


# Lines of a known shape are a duplicate, inserted, or fresh but not ordinary: odd.
ODD = """
    union all
    select line_id
    from fresh
    anti join (
        select event_lines.line_id
        from event_lines
        semi join (
            select source_file, line_number
            from raw.amplitude_events
            where load_id = $load_id and server_upload_time between $earliest and $latest
        ) using (source_file, line_number)
    ) using (line_id)
"""

# They are cut into pieces of about so many bytes: key by key, a line takes many times its room.
REST = f"""
    select
        line_id,
        cast(sum(octet_length(content)) over (order by line_id) // {PIECE_BYTES} as bigint)
            as piece
    from event_lines
    semi join (
        select line_id from glance where shape is null
        {{odd}}
    ) using (line_id)
"""

EXAMINED = f"""
    with
    rest as materialized (
        select line_id, source_file, line_number, line, content
        from event_lines
        semi join (select line_id from rest_lines where piece = $piece) using (line_id)
    ),
    column_kinds (key, kind) as (
        values {columns.kinds()}
    ),
    -- As a map, a key that stands there twice is there twice. `json_each` would carry the whole
    -- line along with each key.
    parsed as (
        select
            line_id,
            map_entries(try(json_transform(line, '"MAP(VARCHAR, JSON)"'))) as keys
        from rest
        where try(json_type(line)) = 'OBJECT'
    ),
    unnested as (
        select
            line_id,
            unnest(keys) as pair,
            generate_subscripts(keys, 1) as place
        from parsed
    ),
    -- A key of a line; one that stands there again is kept beside the first one.
    pairs as (
        select
            line_id,
            pair.key as key,
            coalesce(pair.value, cast('null' as json)) as value,
            json_type(value) as type,
            row_number() over (partition by line_id, pair.key order by place) as occurrence
        from unnested
    ),
    cells as (
        select
            pairs.*,
            column_kinds.kind,
            if(occurrence = 1, {columns.cell("kind", "pairs.type", "value")}, null) as cell
        from pairs
        left join column_kinds using (key)
    ),
    entries as (
        select
            line_id,
            key,
            cell,
            if(occurrence = 1, key, key || '#' || occurrence) as extra_key,
            -- A null of a known key is held: its column is null.
            case
                when cell is null and (kind is null or occurrence > 1 or type != 'NULL') then value
            end as extra_value
        from cells
    ),
    lines as (
        select
            line_id,
            map_from_entries(list((key, cell)) filter (cell is not null)) as cells,
            list(extra_key order by extra_key) filter (extra_value is not null) as extra_keys,
            list(extra_value order by extra_key) filter (extra_value is not null) as extra_values,
            bool_or(key = 'uuid') as has_uuid,
            bool_or(key = 'server_upload_time') as has_time
        from entries
        group by line_id
    )
    select
        rest.line_id,
        rest.source_file,
        rest.line_number,
        rest.content,
        lines.cells,
        cast(to_json(map(lines.extra_keys, lines.extra_values)) as varchar) as extra,
        case
            when rest.line is null then 'is not UTF-8 text'
            when trim(rest.line, e' \\t\\r\\n\\f\\x0b') = '' then 'blank'
            when not json_valid(rest.line) then 'is not JSON'
            when json_type(rest.line) != 'OBJECT' then 'is JSON, but no object'
            when not coalesce(lines.has_uuid, false) then 'has no uuid'
            when lines.cells['uuid'] is null then 'its uuid is none'
            when not lines.has_time then 'has no server_upload_time'
            when lines.cells['server_upload_time'] is null
                then 'its server_upload_time cannot be read'
        end as problem
    from rest
    left join lines using (line_id)
"""

CELLS = ",\n        ".join(
    f"cast(cells[{literal(name)}] as {columns.TYPES[kind]})"
    for name, kind in columns.COLUMNS.items()
)

INSERT_EXAMINED = f"""
    insert into {TARGET}
    with
    incoming as (
        select *, cast(cells['uuid'] as uuid) as uuid
        from examined
        where problem is null
        qualify row_number() over (partition by cast(cells['uuid'] as uuid) order by line_id) = 1
    ),
    -- What is looked up is what is held meanwhile, not the stretch it is looked up in.
    stored as (
        select uuid from ({STORED}) semi join incoming using (uuid)
    )
    select
        {CELLS},
        cast(extra as json),
        $project,
        source_file,
        line_number,
        $load_id,
        $loaded_at
    from incoming
    anti join stored using (uuid)
"""

KEEP_REJECTED = """
    insert into raw.rejected_rows
        (source, source_file, line_number, reason, content, load_id, loaded_at)
    with
    incoming as (
        select
            *,
            parse_filename(source_file) as member,
            row_number() over (
                partition by parse_filename(source_file), content order by source_file, line_number
            ) as occurrence
        from rejected_events
    ),
    stored as (
        select parse_filename(source_file) as member, content, count(*) as times
        from raw.rejected_rows
        where source = $source
        group by all
    )
    select
        $source,
        incoming.source_file,
        incoming.line_number,
        incoming.reason,
        incoming.content,
        $load_id,
        $loaded_at
    from incoming
    left join stored
        on incoming.member = stored.member and incoming.content = stored.content
    where incoming.occurrence > coalesce(stored.times, 0)
    order by incoming.source_file, incoming.line_number
"""
