"""The files of the ledger: reading them whole or from where the last reading ended."""

import contextlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from relay.apply.ledger_lines import LedgerLine, decode_line
from relay.errors import LedgerError
from relay.faultpoints import reach

HEAD = "head.json"
HEAD_VERSION = 1
ANSWER_BEGUN = re.compile(rb'\{"seq":\d+,"at":"[^"]*","kind":"answered"')


@dataclass(frozen=True, slots=True)
class FileHead:
    """How far one file goes: its bytes and lines, the numbers of its first and last line.

    A plan that was sealed and not yet sent has a file without lines; its numbers are 0.
    """

    bytes: int
    lines: int
    first_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class Tail:
    """What was found in a file after its known part; `head` counts complete lines only.

    `pauses` has the last line that paused or resumed each sync.
    """

    head: FileHead
    seqs: list[int] = field(default_factory=list)
    cut: bytes = b""
    pauses: dict[str, "Pause"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, order=True)
class Pause:
    """The number of a line that paused (or resumed) a sync."""

    seq: int
    is_paused: bool


@dataclass(frozen=True)
class Head:
    """The hint: how far each file goes, the last number given out, who was paused or resumed."""

    files: dict[str, FileHead] = field(default_factory=dict)
    last_seq: int = 0
    pauses: dict[str, Pause] = field(default_factory=dict)


def read_head(folder: Path) -> Head:
    """The hint of the last opening; one that cannot be read is none."""
    try:
        document = json.loads((folder / HEAD).read_bytes())
        if document["version"] != HEAD_VERSION:
            return Head()
        return Head(
            {str(name): FileHead(*map(int, row)) for name, row in document["files"].items()},
            int(document["last_seq"]),
            {
                str(sync): Pause(int(seq), bool(is_paused))
                for sync, (seq, is_paused) in document["pauses"].items()
            },
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return Head()


def write_head(folder: Path, head: Head) -> None:
    """Replace the hint, in one step."""
    document = {
        "version": HEAD_VERSION,
        "last_seq": head.last_seq,
        "files": {
            name: [file.bytes, file.lines, file.first_seq, file.last_seq]
            for name, file in sorted(head.files.items())
        },
        "pauses": {
            sync: [pause.seq, pause.is_paused] for sync, pause in sorted(head.pauses.items())
        },
    }
    reach("ledger.head.before")
    new = folder / f"{HEAD}.new"
    with new.open("wb") as file:
        file.write(json.dumps(document, separators=(",", ":")).encode())
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / HEAD)
    reach("ledger.head.after")


def scan_tail(path: Path, known: FileHead | None, known_seq: int) -> Tail:
    """Read a file from where `known` ends, or from its start.

    Args:
        path: The file.
        known: Its head in the hint, if there.
        known_seq: The last number given out when the hint was written: whatever stands after
            the known part must be above it.

    Raises:
        LedgerError: A complete line cannot be read, the numbers do not rise, or the file has lost
            more than an answer at its end.
    """
    size = path.stat().st_size
    if known is not None and size == known.bytes:
        return Tail(known)
    shortened = known is not None and size < known.bytes
    start = known if known is not None and not shortened and _line_ends_at(path, known) else None
    floor = known_seq if start is not None else 0
    seqs: list[int] = []
    pauses: dict[str, Pause] = {}
    lines = start.lines if start else 0
    end = start.bytes if start else 0
    cut = b""
    with path.open("rb") as file:
        file.seek(end)
        for data in file:
            if not data.endswith(b"\n"):
                cut = data
                break
            line = _decode(path, lines + 1, data)
            if line.seq <= (seqs[-1] if seqs else floor):
                raise LedgerError(
                    f"ledger/{path.name}, line {lines + 1}: number {line.seq} follows "
                    f"{seqs[-1] if seqs else floor}; numbers only rise. The file was edited: "
                    "restore it from a backup."
                )
            seqs.append(line.seq)
            note_pause(pauses, line)
            lines += 1
            end += len(data)
    if known is not None and shortened:
        _refuse_loss(path, known, lines, cut)
    begun = start is not None and start.lines > 0
    first = start.first_seq if start and begun else (seqs[0] if seqs else 0)
    last = seqs[-1] if seqs else (start.last_seq if start else 0)
    return Tail(FileHead(end, lines, first, last), seqs, cut, pauses)


def note_pause(pauses: dict[str, Pause], line: LedgerLine) -> None:
    """Take in a line that may pause or resume a sync; an older one changes nothing."""
    if line.kind not in ("paused", "resumed") or line.sync is None:
        return
    pause = Pause(line.seq, line.kind == "paused")
    pauses[line.sync] = max(pauses.get(line.sync, pause), pause)


def read_file(path: Path) -> Iterator[LedgerLine]:
    """The complete lines of one file, in order.

    Raises:
        LedgerError: One of them cannot be read.
    """
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        for number, data in enumerate(file, start=1):
            if not data.endswith(b"\n"):
                return
            yield _decode(path, number, data)


def _line_ends_at(path: Path, known: FileHead) -> bool:
    if known.bytes == 0:
        return True
    with path.open("rb") as file:
        file.seek(known.bytes - 1)
        return file.read(1) == b"\n"


def _refuse_loss(path: Path, known: FileHead, lines: int, cut: bytes) -> None:
    """Let go of a cut answer, which leaves its request unknown; refuse any other loss."""
    if lines == known.lines - 1 and ANSWER_BEGUN.match(cut):
        return
    raise LedgerError(
        f"ledger/{path.name} had {known.lines} lines and now has {lines}: what was sent would be "
        "forgotten and sent again. Restore the file from a backup; if what is missing does not "
        f"matter, delete ledger/{HEAD} and run the command again."
    )


def _decode(path: Path, number: int, data: bytes) -> LedgerLine:
    if not data.strip():
        raise LedgerError(
            f"ledger/{path.name}, line {number}: is empty, as an editor leaves it; delete it"
        )
    try:
        return decode_line(data)
    except ValueError as error:
        raise LedgerError(
            f"ledger/{path.name}, line {number}: {error}. Expected one JSON object a line, as "
            "written by this program; restore the file from a backup."
        ) from error
