"""The ledger: what was sent and what was answered, one JSON line each, never changed.

`ledger/<plan_id>.ndjson` holds the lines of one plan, `ledger/syncs.ndjson` those that belong to no
plan (a pause, an adopted segment). `seq` counts over all files and is given under the lock of
RELAY_HOME, so it orders where time does not. A line is on disk before `append` returns: what is
sent after a `sending` line can never be forgotten.

`ledger/head.json` remembers how far each file was read, so that opening costs the lines since the
last time. It is a hint: without it, or where it does not fit the files, they are read again.

Source: the design's section on the ledger.
"""

import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from relay.apply.ledger_files import (
    FileHead,
    Head,
    Pause,
    note_pause,
    read_file,
    read_head,
    scan_tail,
    write_head,
)
from relay.apply.ledger_lines import KINDS, OUTCOMES, LedgerLine, Rejection, encode_line
from relay.durable import sync_folder
from relay.errors import LedgerError
from relay.faultpoints import reach
from relay.settings import Home

__all__ = ["KINDS", "OUTCOMES", "Ledger", "LedgerLine", "Rejection", "read_lines"]

WITHOUT_PLAN = "syncs"
PLAN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")


class Ledger:
    """The ledger of one RELAY_HOME, open for appending; the caller holds the lock meanwhile.

    Threads may append at the same time: each gets its own `seq`, and they share one flush to disk
    where they can. Use it as a context manager, or `close` it, to keep the next opening cheap.
    """

    def __init__(self, folder: Path, head: Head) -> None:
        self._folder = folder
        self._heads = head.files
        self._last_seq = head.last_seq
        self._pauses = head.pauses
        self._files: dict[str, BinaryIO] = {}
        self._writing = threading.Lock()
        self._flushing = threading.Lock()
        self._written = 0
        self._flushed = 0
        self._broken: str | None = None

    @classmethod
    def open(cls, home: Home) -> Self:
        """Read what is new since the last time, mend a cut last line, and be ready to append.

        A line whose end is missing was being written when the process or the machine stopped; what
        it announced was not begun. Its bytes move to `ledger/<name>.cut-<seq>`. An answer that was
        once complete and is cut now goes the same way: its request is then of unknown outcome.

        Raises:
            LedgerError: A line in the middle cannot be read, a number is missing its order or is
                there twice, or lines are gone that were there before. Nothing is changed.
        """
        folder: Path = home.ledger
        folder.mkdir(parents=True, exist_ok=True)
        known = read_head(folder)
        names = sorted(path.name for path in folder.glob("*.ndjson"))
        tails = {
            name: scan_tail(folder / name, known.files.get(name), known.last_seq) for name in names
        }
        _refuse_shared_numbers({name: tail.seqs for name, tail in tails.items()})
        pauses: dict[str, Pause] = dict(known.pauses)
        for name, tail in tails.items():
            if tail.cut:
                _set_aside(folder / name, tail.head.bytes, tail.cut, tail.head.last_seq + 1)
            for sync, pause in tail.pauses.items():
                pauses[sync] = max(pauses.get(sync, pause), pause)
        files = {name: tail.head for name, tail in tails.items()}
        last_seq = max([known.last_seq, *(file.last_seq for file in files.values())])
        head = Head(files, last_seq, pauses)
        if head != known:
            write_head(folder, head)
        return cls(folder, head)

    @property
    def last_seq(self) -> int:
        """The number of the newest line; 0 when there is none."""
        return self._last_seq

    @property
    def paused(self) -> frozenset[str]:
        """The syncs that were paused and not resumed since."""
        with self._writing:
            return frozenset(sync for sync, pause in self._pauses.items() if pause.is_paused)

    def append(
        self,
        kind: str,
        *,
        at: datetime,
        plan_id: str | None,
        sync: str | None,
        request: int | None = None,
        attempt: int | None = None,
        http_status: int | None = None,
        outcome: str | None = None,
        rejected: Sequence[Rejection] = (),
        unknown: Sequence[int] = (),
        detail: Mapping[str, Any] | None = None,
    ) -> int:
        """Write one line and flush it to disk.

        Args:
            kind: One of `KINDS`.
            at: When it happened, with a time zone; kept in UTC.
            plan_id: The plan, or None for a line about a sync alone.
            sync: Name of the sync.
            request: 1-based line of the sync's requests file.
            attempt: 1-based try of that request, counted over all runs.
            http_status: Status of the answer, where there was one.
            outcome: One of `OUTCOMES`; always and only with kind `answered`.
            rejected: Rows the vendor refused, by 0-based position in the request; one entry with
                position None when the whole request was refused.
            unknown: Positions whose outcome is not known although the request was answered.
            detail: Anything else worth keeping, as JSON. Never a key, never a person's data.

        Returns:
            The `seq` of the line.

        Raises:
            LedgerError: The line could not be written or flushed; the ledger takes no more.
            ValueError: The arguments do not make a line.
        """
        if plan_id is not None and (not PLAN_ID.match(plan_id) or plan_id == WITHOUT_PLAN):
            raise ValueError(f"not a plan id: {plan_id!r}")
        if at.tzinfo is None:
            raise ValueError("`at` has no time zone")
        name = f"{plan_id or WITHOUT_PLAN}.ndjson"
        reach(f"ledger.{kind}.before")
        with self._writing:
            if self._broken is not None:
                raise LedgerError(self._broken)
            line = LedgerLine(
                seq=self._last_seq + 1,
                at=at.astimezone(UTC),
                kind=kind,
                plan_id=plan_id,
                sync=sync,
                request=request,
                attempt=attempt,
                http_status=http_status,
                outcome=outcome,
                rejected=tuple(rejected),
                unknown=tuple(unknown),
                detail=dict(detail or {}),
            )
            data = encode_line(line)
            self._write(name, data)
            self._last_seq = line.seq
            note_pause(self._pauses, line)
            before = self._heads.get(name, FileHead(0, 0, 0, 0))
            first_seq = before.first_seq if before.lines else line.seq
            self._heads[name] = FileHead(
                before.bytes + len(data), before.lines + 1, first_seq, line.seq
            )
            self._written += 1
            ticket = self._written
        self._flush(ticket)
        reach(f"ledger.{kind}.after")
        return line.seq

    def require_file_of(self, plan_id: str) -> None:
        """Refuse a plan whose ledger file is gone: sealing made one, so nobody knows what was sent.

        Raises:
            LedgerError: With what to do instead.
        """
        name = f"{plan_id}.ndjson"
        with self._writing:
            is_there = name in self._heads
        if not is_there:
            raise LedgerError(
                f"ledger/{name} is missing: plan {plan_id} may have been sent, and nothing tells "
                "what of it. Restore the file from a backup; without one, run `relay plan`, which "
                "holds the plan's syncs as ledger_missing, and approve what it gives or adopt."
            )

    def lines(self, plan_id: str | None = None) -> Iterator[LedgerLine]:
        """The lines of one plan, or of all plans and syncs, in the order of `seq`."""
        with self._writing:
            heads = dict(self._heads)
        if plan_id is not None:
            name = f"{plan_id}.ndjson"
            yield from read_file(self._folder / name) if name in heads else ()
            return
        yield from _merged(self._folder, heads)

    def lines_after(self, seq: int) -> Iterator[LedgerLine]:
        """The lines whose number is above `seq`, in order; files without any are not opened."""
        with self._writing:
            heads = {name: head for name, head in self._heads.items() if head.last_seq > seq}
        for line in _merged(self._folder, heads):
            if line.seq > seq:
                yield line

    def close(self) -> None:
        """Close the files and remember how far they go."""
        with self._flushing, self._writing:
            for file in self._files.values():
                file.close()
            if self._files and self._broken is None:
                write_head(self._folder, Head(self._heads, self._last_seq, self._pauses))
            self._files.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self, name: str, data: bytes) -> None:
        """Append the bytes of one line to a file, unbuffered; a new file's name is flushed too."""
        file = self._files.get(name)
        try:
            if file is None:
                file = (self._folder / name).open("ab", buffering=0)
                self._files[name] = file
                sync_folder(self._folder)
            written = file.write(data)
        except OSError as error:
            self._broken = _disk_message(self._folder / name, error)
            raise LedgerError(self._broken) from error
        if written != len(data):
            self._broken = _disk_message(self._folder / name, "the disk took only part of a line")
            raise LedgerError(self._broken)

    def _flush(self, ticket: int) -> None:
        """Have every line up to `ticket` on disk; one flush serves all that wait for it."""
        with self._flushing:
            if self._flushed >= ticket:
                return
            with self._writing:
                written = self._written
                files = list(self._files.values())
            try:
                for file in files:
                    os.fsync(file.fileno())
            except OSError as error:
                self._broken = _disk_message(self._folder, error)
                raise LedgerError(self._broken) from error
            self._flushed = written


def read_lines(folder: Path, plan_id: str | None = None) -> Iterator[LedgerLine]:
    """The lines of a ledger folder in the order of `seq`, without the lock and changing nothing.

    A last line that is cut is left out: it is being written, or will be set aside by `Ledger.open`.

    Raises:
        LedgerError: Another line cannot be read.
    """
    names = [f"{plan_id}.ndjson"] if plan_id else [p.name for p in folder.glob("*.ndjson")]
    heads = {}
    for name in sorted(names):
        if (folder / name).exists():
            first = next(read_file(folder / name), None)
            if first is not None:
                heads[name] = FileHead(0, 0, first.seq, 0)
    yield from _merged(folder, heads)


def _merged(folder: Path, heads: Mapping[str, FileHead]) -> Iterator[LedgerLine]:
    """Lines of several files by `seq`; a file is open only while its numbers are being read."""
    waiting = sorted(heads, key=lambda name: heads[name].first_seq, reverse=True)
    running: list[tuple[LedgerLine, Iterator[LedgerLine]]] = []
    while waiting or running:
        lowest = min(running, key=lambda pair: pair[0].seq) if running else None
        if waiting and (lowest is None or heads[waiting[-1]].first_seq < lowest[0].seq):
            lines = read_file(folder / waiting.pop())
            first = next(lines, None)
            if first is not None:
                running.append((first, lines))
            continue
        if lowest is None:
            return
        yield lowest[0]
        running.remove(lowest)
        following = next(lowest[1], None)
        if following is not None:
            running.append((following, lowest[1]))


def _refuse_shared_numbers(seqs: Mapping[str, Iterable[int]]) -> None:
    owner: dict[int, str] = {}
    for name, numbers in seqs.items():
        for seq in numbers:
            if seq in owner:
                raise LedgerError(
                    f"ledger/{owner[seq]} and ledger/{name} both have a line {seq}: one of "
                    "them was copied or edited. Restore the ledger from a backup."
                )
            owner[seq] = name


def _set_aside(path: Path, keep: int, cut: bytes, seq: int) -> None:
    """Move the cut end of a file into one of its own, then shorten the file by it."""
    aside = path.with_name(f"{path.name}.cut-{seq}")
    reach("ledger.cut.before")
    with aside.open("wb") as file:
        file.write(cut)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)
    reach("ledger.cut.kept")
    with path.open("r+b") as file:
        file.truncate(keep)
        os.fsync(file.fileno())
    reach("ledger.cut.after")


def _disk_message(path: Path, error: object) -> str:
    return (
        f"{path}: a line could not be written ({error}). Nothing is sent without it: "
        "free the disk or mend it, then run the same command again."
    )
