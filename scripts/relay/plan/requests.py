"""Request bodies out of a payload table: cut by what a request may hold, then joined and written.

A body is `body_prefix`, records joined by commas, `body_suffix`; the payload models say all three.
Requests are cut by the destination's limits (seed `request_limits`) on the final bytes, and never
mix phases: nothing is added before what is to be removed has gone.

The rows are read as a stream, and more than once: their lengths, to find where each request begins;
their records; what stands where. So memory does not follow their number, and as payload tables
mostly lie in the order of `position` nothing need be sorted.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from duckdb import DuckDBPyConnection
from pyarrow.parquet import ParquetWriter

from relay.durable import writing
from relay.errors import PlanError

# Rows that Python holds at one time, and what the engine may keep: a sort of more goes to the disk.
ROWS_A_BATCH = 20_000
ENGINE_MEMORY = "160MB"

_UNLIMITED = 2**63 - 1
_STORED_ORDER = ""
_SORTED = "order by position"

# What a row of the rows file says of a change; its place comes after the first.
_ROW_COLUMNS = (
    "change_id",
    "cast(phase as integer) as phase",
    "action",
    "reason",
    "key_type",
    "key_value",
    "match_key",
    "cohort_name",
    "payload_hash",
    "person_ids",
    "anchors",
)
_PLACE_COLUMNS = (("request", pa.int64()), ("position", pa.int64()))
_REPEATED_COLUMNS = ["request", "phase", "action", "reason", "key_type", "cohort_name"]


@dataclass(frozen=True)
class Limits:
    """What one request may hold. None: the vendor states no such limit."""

    max_records: int | None
    max_bytes: int | None


@dataclass(frozen=True)
class CutRows:
    """Payload rows of one sync and where their requests begin.

    Attributes:
        payload: The query or table that was cut.
        order: What brings its rows into the order of `position`; empty where they are stored so.
        sizes: Rows of each request, in order; None where nothing is sent.
    """

    payload: str
    order: str
    sizes: Sequence[int] | None


@contextmanager
def bounded_memory(connection: DuckDBPyConnection) -> Iterator[None]:
    """Let the engine keep no more than `ENGINE_MEMORY` during the block."""
    ((before,),) = connection.execute("select current_setting('memory_limit')").fetchall()
    connection.execute(f"set memory_limit = '{ENGINE_MEMORY}'")
    try:
        yield
    finally:
        connection.execute(f"set memory_limit = '{before}'")


def cut_requests(
    connection: DuckDBPyConnection, payload: str, limits: Limits, *, sends: bool = True
) -> CutRows:
    """Find where each request begins. A request is as full as the limits allow.

    Args:
        connection: Open warehouse.
        payload: A query in brackets, or a table: payload rows of one sync (columns of the payload
            contract). Positions rise; where rows are sent they rise by one, and phases never fall.
        limits: The destination's limits.
        sends: False for rows that are only recorded: they are not cut.

    Raises:
        PlanError: One record alone is over the byte limit; the message names its key. Or positions
            or phases are not as they must be.
    """
    if not sends:
        return CutRows(payload, _SORTED, None)
    order = _STORED_ORDER
    starts = _starts(connection, payload, limits, order)
    if starts is None:
        order = _SORTED
        starts = _starts(connection, payload, limits, order)
    if starts is None:
        raise PlanError(f"the positions of {payload} do not rise by one; run `relay plan` again")
    return CutRows(payload, order, [after - first for first, after in pairwise(starts)])


def write_rows(connection: DuckDBPyConnection, rows: CutRows, path: Path) -> int:
    """Write which change stands at which request and position, as Parquet; how many there are.

    `request` counts from 1 (0: not sent), `position` within it from 0.
    """
    reader = connection.execute(
        f"select {', '.join(_ROW_COLUMNS)} from {rows.payload} {rows.order}"
    ).to_arrow_reader(ROWS_A_BATCH)
    schema = pa.schema([reader.schema.field(0), *_PLACE_COLUMNS, *list(reader.schema)[1:]])
    places = _Places(rows.sizes)
    total = 0
    with (
        writing(path) as file,
        ParquetWriter(file, schema, use_dictionary=_REPEATED_COLUMNS) as writer,
    ):
        for batch in reader:
            change_ids, *others = batch.columns
            arrays = [change_ids, *places.take(batch.num_rows), *others]
            writer.write_batch(pa.record_batch(arrays, schema))
            total += batch.num_rows
    return total


class _Places:
    """Request and position, row after row. Without sizes, all rows are of request 0."""

    def __init__(self, sizes: Sequence[int] | None) -> None:
        self._sizes = iter(enumerate(sizes, start=1) if sizes is not None else [(0, _UNLIMITED)])
        self._request = self._position = self._size = 0

    def take(self, rows: int) -> tuple[pa.Array, pa.Array]:
        """Of so many rows more: their requests, their positions."""
        requests, positions = array("q"), array("q")
        while len(requests) < rows:
            if self._position == self._size:
                (self._request, self._size), self._position = next(self._sizes), 0
            end = min(self._position + rows - len(requests), self._size)
            requests.extend([self._request] * (end - self._position))
            positions.extend(range(self._position, end))
            self._position = end
        return pa.array(requests), pa.array(positions)


def write_bodies(connection: DuckDBPyConnection, rows: CutRows, path: Path) -> int:
    """Write the bodies, one a line in order of request; how many there are."""
    sizes = iter(rows.sizes or ())
    missing = 0
    written = 0
    end = ""
    reader = connection.execute(
        f"select record, body_prefix, body_suffix from {rows.payload} {rows.order}"
    ).to_arrow_reader(ROWS_A_BATCH)
    with writing(path) as file:
        for batch in reader:
            records = batch.column("record")
            done = 0
            while done < batch.num_rows:
                separator = ","
                if missing == 0:
                    missing = next(sizes)
                    separator = f"{end}{batch.column('body_prefix')[done].as_py()}"
                    end = f"{batch.column('body_suffix')[done].as_py()}\n"
                    written += 1
                taken = min(missing, batch.num_rows - done)
                joined = ",".join(records.slice(done, taken).to_pylist())
                file.write(f"{separator}{joined}".encode())
                done += taken
                missing -= taken
        file.write(end.encode())
    return written


def _starts(
    connection: DuckDBPyConnection, payload: str, limits: Limits, order: str
) -> list[int] | None:
    """The first position of each request and the one after the last row; None: not in order."""
    reader = connection.execute(
        "select position, phase, hash(body_prefix, body_suffix) as body,"
        " strlen(body_prefix) + strlen(body_suffix) as frame, strlen(record) + 1 as size"
        f" from {payload} {order}"
    ).to_arrow_reader(ROWS_A_BATCH)
    cutter = _Cutter(limits)
    for batch in reader:
        if not batch.num_rows:
            continue
        positions = batch.column("position")
        first = positions[0].as_py()
        if not _rises_by_one(positions) or cutter.next_position not in (None, first):
            return None
        for phase, start, end in _runs(batch.column("phase")):
            part = batch.slice(start, end - start)
            for body, begin, stop in _runs(part.column("body")):
                sizes = part.column("size").slice(begin, stop - begin).to_pylist()
                frame = part.column("frame")[begin].as_py()
                cutter.take(first + start + begin, phase, body, frame, sizes)
    if cutter.too_large is not None:
        _refuse(connection, payload, *cutter.too_large, limits)
    return cutter.starts if cutter.next_position is None else [*cutter.starts, cutter.next_position]


@dataclass
class _Cutter:
    """Fills one request after the other.

    Attributes:
        limits: Of a request.
        starts: The position at which each request begins.
        next_position: The one that comes after the rows so far; None before the first.
        too_large: Position and bytes of the first request that one record alone makes too large.
    """

    limits: Limits
    starts: list[int] = field(default_factory=list)
    next_position: int | None = None
    too_large: tuple[int, int] | None = None
    _phase: int = 0
    _body: tuple[int, int] | None = None
    _rows_left: int = 0
    _bytes_left: int = 0

    def take(self, position: int, phase: int, body: int, frame: int, sizes: Sequence[int]) -> None:
        """Take in rows of one phase and body that follow each other.

        Args:
            position: Of the first.
            phase: Of all.
            body: What tells their prefix and suffix from others.
            frame: Bytes of prefix and suffix.
            sizes: Bytes of each record and one comma.
        """
        if phase < self._phase:
            raise PlanError(
                f"position {position} has phase {phase} after phase {self._phase}: removals come"
                " first; the payload model's order is wrong"
            )
        if (phase, body) != self._body:
            self._phase, self._body, self._rows_left = phase, (phase, body), 0
        # One comma less than there are records.
        most_bytes = (self.limits.max_bytes or _UNLIMITED) - frame + 1
        ends = [0, *accumulate(sizes)]
        taken = 0
        while taken < len(sizes):
            fitting = bisect_right(ends, ends[taken] + self._bytes_left, lo=taken) - 1 - taken
            fitting = min(fitting, self._rows_left)
            if fitting == 0:
                self.starts.append(position + taken)
                self._rows_left = self.limits.max_records or _UNLIMITED
                self._bytes_left = most_bytes
                if sizes[taken] > most_bytes and self.too_large is None:
                    self.too_large = position + taken, sizes[taken] - 1 + frame
                    self._bytes_left = sizes[taken]
                continue
            self._rows_left -= fitting
            self._bytes_left -= ends[taken + fitting] - ends[taken]
            taken += fitting
        self.next_position = position + len(sizes)


def _refuse(
    connection: DuckDBPyConnection, payload: str, position: int, size: int, limits: Limits
) -> None:
    ((key,),) = connection.execute(
        f"select key_value from {payload} where position = ?", [position]
    ).fetchall()
    raise PlanError(
        f"the record of key {key!r} alone is {size} bytes, the destination takes"
        f" {limits.max_bytes} a request; suppress the key or shorten what is mapped"
    )


def _rises_by_one(positions: pa.Array) -> bool:
    steps = pc.min_max(pc.pairwise_diff(positions)).as_py()
    return set(steps.values()) <= {1, None}


def _runs(values: pa.Array) -> list[tuple[int, int, int]]:
    """Value, first and last index (exclusive) of each run of equal values."""
    encoded = pc.run_end_encode(values)
    ends = encoded.run_ends.to_pylist()
    return list(zip(encoded.values.to_pylist(), [0, *ends[:-1]], ends, strict=True))
