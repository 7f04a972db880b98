"""The archives of Amplitude's export: stored gzip members behind data descriptors."""

import gzip
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, cast


@dataclass(slots=True)
class Hour:
    """The events of one project and upload hour.

    Attributes:
        lines: Rows as lines with their line feed.
        ready: Members that were given as they are, before those made of `lines`.
    """

    lines: list[bytes] = field(default_factory=list)
    ready: list[bytes | Path] = field(default_factory=list)
    _zipped: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def members(self, lines_per_member: int) -> Iterator[bytes]:
        """The gzip members, in the order of their partition numbers."""
        for member in self.ready:
            yield member.read_bytes() if isinstance(member, Path) else member
        for start in range(0, len(self.lines), lines_per_member):
            part = self.lines[start : start + lines_per_member]
            key = (start, len(part))
            if key not in self._zipped:
                self._zipped[key] = gzip.compress(b"".join(part), 1, mtime=0)
            yield self._zipped[key]


@dataclass(frozen=True, slots=True)
class Shape:
    """How an archive is put together.

    Attributes:
        lines_per_member: An hour with more lines is split into partitions.
        first_partition: The number behind `#` of an hour's first member.
        deflated: Members compressed once more, as seen in other teams' fixtures.
        folders: An entry for the folder, likewise.
    """

    lines_per_member: int = 5_000
    first_partition: int = 0
    deflated: bool = False
    folders: bool = False


def member_name(project: str, hour: datetime, partition: int) -> str:
    """The name of a member; the hour is not zero padded."""
    return f"{project}/{project}_{hour:%Y-%m-%d}_{hour.hour}#{partition}.json.gz"


def write_archive(
    project: str, hours: Sequence[tuple[datetime, Hour]], *, made_at: datetime, shape: Shape
) -> Path:
    """Write the archive of these hours into a temporary file; the caller deletes it."""
    with tempfile.NamedTemporaryFile(prefix="relay-export-", suffix=".zip", delete=False) as file:
        write_members(
            cast(IO[bytes], _Unseekable(file)), _named(project, hours, shape), made_at, shape
        )
        return Path(file.name)


def write_members(
    file: IO[bytes], members: Iterable[tuple[str, bytes]], made_at: datetime, shape: Shape
) -> None:
    """Write an archive of these members as Amplitude does: in one pass, sizes behind the data."""
    when = made_at.timetuple()[:6]
    how = zipfile.ZIP_DEFLATED if shape.deflated else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", how) as archive:
        folders: set[str] = set()
        for name, body in members:
            folder = name.partition("/")[0] + "/"
            if shape.folders and folder not in folders:
                folders.add(folder)
                archive.writestr(zipfile.ZipInfo(folder, when), b"")
            entry = zipfile.ZipInfo(name, when)
            entry.compress_type = how
            archive.writestr(entry, body)


def _named(
    project: str, hours: Sequence[tuple[datetime, Hour]], shape: Shape
) -> Iterator[tuple[str, bytes]]:
    for moment, hour in hours:
        for number, body in enumerate(hour.members(shape.lines_per_member), shape.first_partition):
            yield member_name(project, moment, number), body


class _Unseekable:
    """A file that can only go on: zipfile then writes data descriptors, as a web service must."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()
