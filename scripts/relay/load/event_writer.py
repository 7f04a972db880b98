"""Stores the lines of event files: each line is loaded, a duplicate, or rejected with its reason.

DuckDB's `read_json` is not used, although it is what is fast: it stops at a first line that is cut
off, rounds numbers silently, drops keys that it was not told of, and knows no line numbers. The
same parser, called on lines that are cut already, costs no more and has none of this.

A unit of lines goes through in three steps:

1. *glance*: of each line its uuid, upload time and shape (its list of keys);
2. *fresh*: the first line of each uuid that is not stored yet, inserted at once where it is
   ordinary (`event_columns`);
3. *rest*: what is left, examined key by key, in small pieces, with `extra` for what no column
   holds.

The same uuid has the same `server_upload_time` wherever it is exported, so only that stretch of the
stored events is looked at: what a load costs follows what is new, not the history.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from duckdb import DuckDBPyConnection

from relay.load import event_columns as columns
from relay.load import event_queries as queries
from relay.load.event_columns import literal
from relay.load.slot import Slot
from relay.load.units import KEPT_BYTES, LINE_TYPES, LONGEST_LINE_BYTES, Unit

SOURCE = "amplitude_events"
MOST_SHAPES = 12
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
        self._glance_rows = Slot(self.connection, "glance_rows", queries.GLANCE_TYPES)
        self._fresh = Slot(self.connection, "fresh", queries.FRESH_TYPES)
        self._rest = Slot(self.connection, "rest_lines", queries.REST_TYPES)
        self._examined = Slot(self.connection, "examined", queries.EXAMINED_TYPES)
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
            queries.KEEP_REJECTED,
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
        if shaped <= rows - queries.SHAPE_LINES and self._learn_shapes():
            shaped = self._glance()
        self.connection.execute(queries.COUNT_HOURS_SHAPED)
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
        self._glance_rows.fill(
            queries.GLANCE.format(shapes=shapes, written_time=columns.WRITTEN_TIME)
        )
        return self._count("select count(shape) from glance")

    def _learn_shapes(self) -> bool:
        """Add key lists that many lines share and that were not known; False without any."""
        found = self.connection.execute(queries.COMMON_KEYS).fetchall()
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
        self._fresh.fill(queries.FRESH, self._stretch)
        return int(self._fresh.rows.num_rows)

    def _insert_ordinary(self) -> int:
        shapes = self.connection.execute(
            "select distinct shape from fresh order by shape"
        ).fetchall()
        return sum(
            self._count(
                queries.insert_ordinary(self._shapes[number].extra()),
                self._lineage | {"shape": number},
            )
            for (number,) in shapes
        )

    def _examine_rest(self, rest: int, *, has_odd: bool) -> tuple[Counts, int]:
        """Load, reject or find double what is left; the counts, and how many lines were blank."""
        self._rest.fill(
            queries.REST.format(odd=queries.ODD if has_odd else ""),
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
        self._examined.fill(queries.EXAMINED, {"piece": piece})
        self.connection.execute(queries.COUNT_HOURS_EXAMINED)
        rejected = self._count(queries.INSERT_REJECTED)
        blank = self._count("select count(*) from examined where problem = 'blank'")
        ((earliest, latest),) = self.connection.execute(
            "select min(cast(cells['server_upload_time'] as timestamp)),"
            " max(cast(cells['server_upload_time'] as timestamp)) from examined"
            " where problem is null"
        ).fetchall()
        loaded = 0
        if earliest is not None:
            loaded = self._count(
                queries.INSERT_EXAMINED, self._lineage | {"earliest": earliest, "latest": latest}
            )
        rows = lines - blank
        return Counts(rows, loaded, rows - loaded - rejected, rejected), blank

    def _count(self, sql: str, parameters: dict[str, object] | None = None) -> int:
        ((count,),) = self.connection.execute(sql, parameters).fetchall()
        return int(count)
