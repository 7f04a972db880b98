"""Text cut into units of whole lines, as Arrow tables over the bytes as they stand.

No line passes through a Python loop: line ends are found by numpy, and Arrow and DuckDB look at the
same memory. A unit holds lines of one or several members; it is all that is in memory at a time
(and the next ones, that are being cut meanwhile), whatever the size of the export.
"""

import queue
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import pyarrow as pa

Item = TypeVar("Item")
Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]
Positions = np.ndarray[tuple[int], np.dtype[np.int64]]

UNIT_BYTES = 16 * 1024 * 1024
# A longer line is rejected; what is kept of it.
LONGEST_LINE_BYTES = 8 * 1024 * 1024
KEPT_BYTES = 64 * 1024
# The columns of a unit's lines, where all of them are text and where not.
LINE_TYPES = {
    is_text: pa.schema(
        [
            ("line_id", pa.int64()),
            ("source_file", pa.dictionary(pa.int32(), pa.string())),
            ("line_number", pa.int64()),
            ("line", pa.string() if is_text else pa.binary()),
        ]
    )
    for is_text in (True, False)
}
_LINE_FEED = 10
_LONGEST_BLANK = 64


@dataclass(frozen=True)
class Overlong:
    """A line longer than `LONGEST_LINE_BYTES`.

    Attributes:
        source_file: Its member.
        line_number: 1-based.
        start: Its first `KEPT_BYTES`.
    """

    source_file: str
    line_number: int
    start: bytes


@dataclass(frozen=True)
class Unit:
    """Some consecutive lines.

    Attributes:
        lines: `line_id` (counts through all members), `source_file`, `line_number` (1-based in the
            member) and `line`, its bytes with the line feed; blank lines are left out.
        is_text: `line` is a string column; else some line is not UTF-8 and it is a binary one.
        longest: Bytes of the longest line.
        overlong: Lines that are too long; they are in no table.
    """

    lines: pa.Table
    is_text: bool
    longest: int = 0
    overlong: tuple[Overlong, ...] = ()


@dataclass
class _Segment:
    """The lines of one member in the buffer.

    Attributes:
        source_file: The member.
        start: Where its first line begins in the buffer.
        lines_before: How many of its lines were in earlier units.
    """

    source_file: str
    start: int
    lines_before: int = 0


class _Buffers:
    """Memory for units, used again once nothing looks at it.

    Mapping it anew for each unit costs more than all the cutting.
    """

    # Held by the list, by the loop and by the call that counts: by no Arrow table and no slice.
    _UNUSED = 3

    def __init__(self, size: int) -> None:
        self._size = size
        self._all: list[Bytes] = []

    def take(self, size: int) -> Bytes:
        """A buffer of at least `size` bytes."""
        if size > self._size:
            return np.empty(size, np.uint8)
        for buffer in self._all:
            if sys.getrefcount(buffer) <= self._UNUSED:
                return buffer
        buffer = np.empty(self._size, np.uint8)
        self._all.append(buffer)
        return buffer


@dataclass
class _Cutter:
    """Collects pieces of text and cuts them behind the last line feed."""

    unit_bytes: int
    longest_line: int
    used: int = 0
    next_id: int = 0
    ends: list[Positions] = field(default_factory=list)
    segments: list[_Segment] = field(default_factory=list)
    # The start of a line that is too long, while the rest of it passes by.
    skipped: bytes | None = None
    overlong: list[Overlong] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.buffers = _Buffers(self.unit_bytes)
        self.buffer = self.buffers.take(self.unit_bytes)

    def begin(self, source_file: str) -> None:
        """Go on with the text of another member."""
        self.segments.append(_Segment(source_file, self.used))

    def add(self, piece: bytes) -> Iterator[Unit]:
        """Take a piece of the member; gives a unit each time the buffer is full."""
        if self.skipped is not None:
            end = piece.find(b"\n")
            self.skipped += piece[: end if end >= 0 else None][: KEPT_BYTES - len(self.skipped)]
            if end < 0:
                return
            self._reject_skipped()
            piece = piece[end + 1 :]
        if self.used + len(piece) > len(self.buffer):
            yield from self.cut(piece)
            if self.skipped is not None:
                yield from self.add(piece)
                return
        text = np.frombuffer(piece, np.uint8)
        self.buffer[self.used : self.used + len(piece)] = text
        # Looked for while the piece is near: over the whole buffer it takes four times as long.
        self.ends.append(np.flatnonzero(text == _LINE_FEED) + (self.used + 1))
        self.used += len(piece)

    def end(self) -> Iterator[Unit]:
        """The member is over: its last line may lack a line feed."""
        if self.skipped is not None:
            self._reject_skipped()
        started = self.segments[-1].start
        if self.used > started and self.buffer[self.used - 1] != _LINE_FEED:
            yield from self.add(b"\n")

    def cut(self, coming: bytes = b"") -> Iterator[Unit]:
        """Give the whole lines collected so far; the rest stays, with room for what is `coming`."""
        ends = np.concatenate(self.ends) if self.ends else np.zeros(0, np.int64)
        taken = int(ends[-1]) if len(ends) else 0
        rest = self.buffer[taken : self.used]
        if len(ends) or self.overlong:
            yield self._unit(ends)
        end = coming.find(b"\n")
        if len(rest) + (end if end >= 0 else len(coming)) > self.longest_line:
            self.skipped = rest[:KEPT_BYTES].tobytes()
            rest = rest[:0]
        buffer = self.buffers.take(max(self.unit_bytes, len(rest) + len(coming)))
        buffer[: len(rest)] = rest
        self.buffer, self.used, self.ends = buffer, len(rest), []

    def _reject_skipped(self) -> None:
        # Whatever came before the line was cut when it turned out too long.
        segment = self.segments[-1]
        segment.lines_before += 1
        self.overlong.append(
            Overlong(segment.source_file, segment.lines_before, self.skipped or b"")
        )
        self.skipped = None

    def _unit(self, ends: Positions) -> Unit:
        count = len(ends)
        offsets = np.zeros(count + 1, np.int32)
        offsets[1:] = ends
        lines = pa.BinaryArray.from_buffers(
            pa.binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(self.buffer)]
        )
        is_text = True
        try:
            lines = lines.cast(pa.string())
        except pa.ArrowInvalid:
            is_text = False
        sources, numbers = self._number(ends)
        table = pa.table(
            {
                "line_id": pa.array(np.arange(self.next_id, self.next_id + count)),
                "source_file": sources,
                "line_number": numbers,
                "line": lines,
            }
        )
        self.next_id += count
        blank = self._blank(offsets)
        if len(blank):
            keep = np.ones(count, bool)
            keep[blank] = False
            table = table.filter(pa.array(keep))
        longest = int(np.diff(offsets).max()) if count else 0
        unit = Unit(table, is_text, longest, tuple(self.overlong))
        self.overlong = []
        return unit

    def _number(self, ends: Positions) -> tuple[pa.Array, pa.Array]:
        """The member and the line number of each line; leaves the segment that goes on."""
        names = [segment.source_file for segment in self.segments]
        starts = [segment.start for segment in self.segments]
        # A line belongs to the last segment that starts before the line's end.
        of_segment = np.searchsorted(np.array(starts), ends, side="left") - 1
        counts = np.bincount(of_segment, minlength=len(names))
        before = np.array([segment.lines_before for segment in self.segments])
        firsts = np.concatenate(([0], np.cumsum(counts)[:-1]))
        numbers = np.arange(len(ends)) - firsts[of_segment] + before[of_segment] + 1
        sources = pa.DictionaryArray.from_arrays(
            pa.array(of_segment.astype(np.int32)), pa.array(names, pa.string())
        )
        last = self.segments[-1]
        self.segments = [_Segment(last.source_file, 0, last.lines_before + int(counts[-1]))]
        return sources, pa.array(numbers)

    def _blank(self, offsets: np.ndarray[tuple[int], np.dtype[np.int32]]) -> Positions:
        """Positions of the lines that are white space only; such lines are short and few."""
        short = np.flatnonzero(np.diff(offsets) <= _LONGEST_BLANK)
        is_blank = [self.buffer[offsets[n] : offsets[n + 1]].tobytes().isspace() for n in short]
        return short[np.array(is_blank, bool)] if len(short) else short


def units_of(
    members: Iterable[tuple[str, Iterator[bytes]]],
    *,
    unit_bytes: int = UNIT_BYTES,
    longest_line: int = LONGEST_LINE_BYTES,
) -> Iterator[Unit]:
    """Cut the text of some members into units of about `unit_bytes`.

    Args:
        members: For each its `source_file` and its text in pieces of any size.
        unit_bytes: Size of a unit; a longer line makes a larger one.
        longest_line: See `LONGEST_LINE_BYTES`.
    """
    cutter = _Cutter(unit_bytes, longest_line)
    for source_file, pieces in members:
        cutter.begin(source_file)
        for piece in pieces:
            yield from cutter.add(piece)
        yield from cutter.end()
    yield from cutter.cut()


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, the next one being made in a thread while this one is used.

    An error of `items` is raised where the item would have come. Closing this iterator ends the
    thread and closes `items`.
    """
    done = object()
    waiting: queue.Queue[tuple[object, BaseException | None]] = queue.Queue(maxsize=1)
    stop = threading.Event()

    def put(item: object, error: BaseException | None = None) -> bool:
        while not stop.is_set():
            try:
                waiting.put((item, error), timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(item):
                    return
            put(done)
        except BaseException as error:
            # Raised again where the item would have come.
            put(done, error)
        finally:
            if hasattr(items, "close"):
                items.close()

    worker = threading.Thread(target=work, name="relay-ahead", daemon=True)
    worker.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is done:
                return
            yield item  # type: ignore[misc]
    finally:
        stop.set()
        worker.join()
