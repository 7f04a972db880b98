"""Stores the lines of event files: each line is loaded, a duplicate, or rejected with its reason.

DuckDB's `read_json` is not used, although it is what is fast: it stops at a first line that is cut
off, rounds numbers silently, drops keys that it was not told of, and knows no line numbers. The
same parser, called on lines that are cut already, costs no more and has none of this.

A unit of lines goes through in three steps:

1. *glance*: of each line its uuid, upload time and shape (its list of keys);
2. *fresh*: the first line of each uuid that is not stored yet, inserted at once where it is
   ordinary (`event_columns`);
3. *rest*: what is left, examined key by key, with `extra` for what no column holds.

The same uuid has the same `server_upload_time` wherever it is exported, so only that stretch of the
stored events is looked at: what a load costs follows what is new, not the history.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
from duckdb import DuckDBPyConnection

from relay.load import event_columns as columns
from relay.load.event_columns import literal, quoted
from relay.load.slot import Slot
from relay.load.units import KEPT_BYTES, LINE_TYPES, LONGEST_LINE_BYTES, Unit

SOURCE = "amplitude_events"
# A key list that at least this many lines of a unit share is worth a pass of its own.
SHAPE_LINES = 64
MOST_SHAPES = 12
# Lines that have to be looked at key by key go through in pieces of this size.
PIECE_BYTES = 2 * 1024 * 1024
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_$ -]{1,200}")
_TOO_LONG = (
    f"is longer than {LONGEST_LINE_BYTES >> 20} MiB; its first {KEPT_BYTES >> 10} KiB are kept"
)


@dataclass(frozen=True)
class Counts:
    """What became of some lines; `rows` is the sum of the others."""

    rows: int = 0
    loaded: int = 0
    duplicates: int = 0
    rejected: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        """Both together."""
        return Counts(
            self.rows + other.rows,
            self.loaded + other.loaded,
            self.duplicates + other.duplicates,
            self.rejected + other.rejected,
        )


@dataclass(frozen=True)
class Shape:
    """A list of keys as lines have it, in their order."""

    keys: tuple[str, ...]

    @property
    def unknown(self) -> list[str]:
        """The keys that have no column."""
        return [key for key in self.keys if key not in columns.COLUMNS]

    @property
    def is_usable(self) -> bool:
        """Whether its lines can be read in one pass: no key twice, none that a path cannot name."""
        return (
            len(set(self.keys)) == len(self.keys)
            and {"uuid", "server_upload_time"} <= set(self.keys)
            and all(_PLAIN_KEY.fullmatch(key) for key in self.unknown)
        )

    def extra(self) -> str:
        """SQL: the value of `extra` for its lines."""
        if not self.unknown:
            return "null"
        names = ", ".join(literal(key) for key in self.unknown)
        paths = ", ".join(literal(f'$."{key}"') for key in self.unknown)
        return f"to_json(map([{names}], json_extract(line, [{paths}])))"


@dataclass
class EventWriter:
    """Writes units into `raw.amplitude_events`; the caller holds one transaction for all of them.

    Attributes:
        connection: Open warehouse with the raw tables.
        load_id: The number of this load.
        loaded_at: When it is loaded, UTC.
        project: Kept with each row where the user named a project; else the row's `app` says it.
        counts: What became of the lines so far.
    """

    connection: DuckDBPyConnection
    load_id: int
    loaded_at: datetime
    project: str | None = None
    counts: Counts = field(default_factory=Counts)
    _shapes: list[Shape] = field(default_factory=lambda: [Shape(tuple(columns.COLUMNS))])
    _current: Slot | None = None
    _stretch: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lines = {
            is_text: Slot(self.connection, name, LINE_TYPES[is_text])
            for is_text, name in ((True, "text_lines"), (False, "binary_lines"))
        }
        self._glance_rows = Slot(self.connection, "glance_rows", _GLANCE_TYPES)
        self._fresh = Slot(self.connection, "fresh", _FRESH_TYPES)
        self._rest = Slot(self.connection, "rest_lines", _REST_TYPES)
        self._examined = Slot(self.connection, "examined", _EXAMINED_TYPES)
        self.connection.execute(
            "create or replace temp view glance as"
            " select * replace (cast(uuid as uuid) as uuid) from glance_rows"
        )
        self.connection.execute(
            "create or replace temp table rejected_events"
            " (source_file varchar, line_number bigint, reason varchar, content blob)"
        )
        self.connection.execute(
            "create or replace temp table event_hours (hour timestamp, line_count bigint)"
        )

    def write(self, unit: Unit) -> None:
        """Store one unit; its `source_file` is a path below landing/."""
        slot = self._lines[unit.is_text]
        line, content = ("line", "encode(line)") if unit.is_text else ("try(decode(line))", "line")
        if slot is not self._current:
            self._current = slot
            self.connection.execute(
                "create or replace temp view event_lines as"
                f" select line_id, source_file, line_number, {line} as line, {content} as content"
                f" from {slot.name}"
            )
        slot.rows = unit.lines
        try:
            self.counts += self._write_lines(unit.lines.num_rows)
        finally:
            for each in (slot, self._glance_rows, self._fresh, self._rest, self._examined):
                each.empty()
        for overlong in unit.overlong:
            self.connection.execute(
                "insert into rejected_events values (?, ?, ?, ?)",
                [overlong.source_file, overlong.line_number, _TOO_LONG, overlong.start],
            )
        self.counts += Counts(rows=len(unit.overlong), rejected=len(unit.overlong))

    def finish(self) -> int:
        """Keep the rejected lines; one that an earlier export of the member had is there already.

        Equal lines of a member are as many rejected rows as the export that has most of them.

        Returns:
            How many were not there.
        """
        return self._count(
            _KEEP_REJECTED,
            {
                "source": SOURCE,
                "load_id": self.load_id,
                "loaded_at": self.loaded_at.replace(tzinfo=None),
            },
        )

    def hours(self) -> dict[datetime, int]:
        """How many of the lines, duplicates included, each hour of `server_upload_time` had."""
        found = self.connection.execute(
            "select hour, sum(line_count)::bigint from event_hours group by hour order by hour"
        ).fetchall()
        return {hour.replace(tzinfo=UTC): count for hour, count in found}

    @property
    def _lineage(self) -> dict[str, object]:
        return {
            "load_id": self.load_id,
            "loaded_at": self.loaded_at.replace(tzinfo=None),
            "project": self.project,
        }

    def _write_lines(self, rows: int) -> Counts:
        shaped = self._glance()
        if shaped <= rows - SHAPE_LINES and self._learn_shapes():
            shaped = self._glance()
        self.connection.execute(_COUNT_HOURS_SHAPED)
        fresh = self._find_fresh()
        loaded = self._insert_ordinary() if fresh else 0
        counts = Counts(loaded + shaped - fresh, loaded, shaped - fresh, 0)
        if counts.rows < rows:
            rest, blank = self._examine_rest(rows - counts.rows, has_odd=loaded < fresh)
            counts += rest
            rows -= blank
        if counts.rows != rows:
            raise AssertionError(f"{rows} lines became {counts}")
        return counts

    def _glance(self) -> int:
        """Look at each line; gives how many have a known shape, a uuid and an upload time."""
        shapes = "\n".join(
            f"            when keys = [{', '.join(literal(key) for key in shape.keys)}] then {n}"
            for n, shape in enumerate(self._shapes)
        )
        self._glance_rows.fill(_GLANCE.format(shapes=shapes, written_time=columns.WRITTEN_TIME))
        return self._count("select count(shape) from glance")

    def _learn_shapes(self) -> bool:
        """Add key lists that many lines share and that were not known; False without any."""
        found = self.connection.execute(_COMMON_KEYS).fetchall()
        shapes = [Shape(tuple(keys)) for (keys,) in found]
        new = [shape for shape in shapes if shape.is_usable and shape not in self._shapes]
        new = new[: MOST_SHAPES - len(self._shapes)]
        self._shapes += new
        return bool(new)

    def _find_fresh(self) -> int:
        """Of the shaped lines, the first of each uuid that is not stored; how many."""
        ((earliest, latest),) = self.connection.execute(
            "select min(uploaded_at), max(uploaded_at) from glance where shape is not null"
        ).fetchall()
        self._stretch = {"earliest": earliest, "latest": latest}
        self._fresh.fill(_FRESH, self._stretch)
        return int(self._fresh.rows.num_rows)

    def _insert_ordinary(self) -> int:
        shapes = self.connection.execute(
            "select distinct shape from fresh order by shape"
        ).fetchall()
        return sum(
            self._count(
                _insert_ordinary(self._shapes[number].extra()),
                self._lineage | {"shape": number},
            )
            for (number,) in shapes
        )

    def _examine_rest(self, rest: int, *, has_odd: bool) -> tuple[Counts, int]:
        """Load, reject or find double what is left; the counts, and how many lines were blank."""
        self._rest.fill(
            _REST.format(odd=_ODD if has_odd else ""),
            {"load_id": self.load_id} | self._stretch if has_odd else None,
        )
        counts, blanks = Counts(), 0
        for piece, lines in self._pieces_of_rest():
            found, blank = self._examine(piece, lines)
            counts += found
            blanks += blank
        if counts.rows + blanks != rest:
            raise AssertionError(f"{rest} lines became {counts} and {blanks} blank ones")
        return counts, blanks

    def _pieces_of_rest(self) -> list[tuple[int, int]]:
        """The pieces in which the rest is examined, and how many lines each has."""
        return self.connection.execute(
            "select piece, count(*) from rest_lines group by piece order by piece"
        ).fetchall()

    def _examine(self, piece: int, lines: int) -> tuple[Counts, int]:
        """Load, reject or find double some lines; the counts, and how many were blank."""
        self._examined.fill(_EXAMINED, {"piece": piece})
        self.connection.execute(_COUNT_HOURS_EXAMINED)
        rejected = self._count(_INSERT_REJECTED)
        blank = self._count("select count(*) from examined where problem = 'blank'")
        ((earliest, latest),) = self.connection.execute(
            "select min(cast(cells['server_upload_time'] as timestamp)),"
            " max(cast(cells['server_upload_time'] as timestamp)) from examined"
            " where problem is null"
        ).fetchall()
        loaded = 0
        if earliest is not None:
            loaded = self._count(
                _INSERT_EXAMINED, self._lineage | {"earliest": earliest, "latest": latest}
            )
        rows = lines - blank
        return Counts(rows, loaded, rows - loaded - rejected, rejected), blank

    def _count(self, sql: str, parameters: dict[str, object] | None = None) -> int:
        ((count,),) = self.connection.execute(sql, parameters).fetchall()
        return int(count)


_GLANCE_TYPES = pa.schema(
    [
        ("line_id", pa.int64()),
        ("uuid", pa.string()),
        ("uploaded_at", pa.timestamp("us")),
        ("shape", pa.int32()),
    ]
)
_FRESH_TYPES = pa.schema([("line_id", pa.int64()), ("shape", pa.int32())])
_REST_TYPES = pa.schema([("line_id", pa.int64()), ("piece", pa.int64())])
_EXAMINED_TYPES = pa.schema(
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

_LINEAGE = "extra, project, source_file, line_number, load_id, loaded_at"
_TARGET = f"raw.amplitude_events ({', '.join(map(quoted, columns.COLUMNS))}, {_LINEAGE})"

_INSERT_REJECTED = f"""
    insert into rejected_events
    select source_file, line_number, problem, {columns.without_line_feed("content")}
    from examined
    where problem is not null and problem != 'blank'
    order by line_id
"""

_GLANCE = """
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

_COUNT_HOURS_SHAPED = """
    insert into event_hours
    select date_trunc('hour', uploaded_at), count(*)
    from glance
    where shape is not null
    group by all
"""

# Fresh lines that are examined were counted while their shape was known.
_COUNT_HOURS_EXAMINED = """
    insert into event_hours
    select date_trunc('hour', cast(cells['server_upload_time'] as timestamp)), count(*)
    from examined
    semi join (select line_id from glance where shape is null) using (line_id)
    where problem is null
    group by all
"""

_COMMON_KEYS = f"""
    select try(json_keys(line)) as keys
    from event_lines
    semi join (select line_id from glance where shape is null) using (line_id)
    where keys is not null
    group by keys
    having count(*) >= {SHAPE_LINES}
    order by count(*) desc, keys
"""

_STORED = """
    select uuid
    from raw.amplitude_events
    where server_upload_time between $earliest and $latest
"""

_FRESH = f"""
    with
    first_ones as (
        select min(line_id) as line_id, uuid
        from glance
        where shape is not null
        group by uuid
    ),
    stored as (
        select uuid from ({_STORED}) semi join first_ones using (uuid)
    )
    select line_id, shape
    from glance
    semi join (select line_id from first_ones anti join stored using (uuid)) using (line_id)
"""


def _insert_ordinary(extra: str) -> str:
    values = ",\n        ".join(
        columns.value(name, f"line_values.{quoted(name)}") for name in columns.COLUMNS
    )
    return f"""
    insert into {_TARGET}
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
_ODD = """
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
_REST = f"""
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

_EXAMINED = f"""
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

_CELLS = ",\n        ".join(
    f"cast(cells[{literal(name)}] as {columns.TYPES[kind]})"
    for name, kind in columns.COLUMNS.items()
)

_INSERT_EXAMINED = f"""
    insert into {_TARGET}
    with
    incoming as (
        select *, cast(cells['uuid'] as uuid) as uuid
        from examined
        where problem is null
        qualify row_number() over (partition by cast(cells['uuid'] as uuid) order by line_id) = 1
    ),
    -- What is looked up is what is held meanwhile, not the stretch it is looked up in.
    stored as (
        select uuid from ({_STORED}) semi join incoming using (uuid)
    )
    select
        {_CELLS},
        cast(extra as json),
        $project,
        source_file,
        line_number,
        $load_id,
        $loaded_at
    from incoming
    anti join stored using (uuid)
"""

_KEEP_REJECTED = """
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
