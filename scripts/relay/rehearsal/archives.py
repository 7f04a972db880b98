"""The bytes of Amplitude's files: export archives, cohort CSVs, merged-id files.

Source: Amplitude, Export API, Behavioral Cohorts API and Amazon S3 destination; the archive's
details (stored members, data descriptors, unpadded hours) were observed in a real answer. Equal
input gives equal bytes: gzip headers carry no time, zip members the time they are given.
"""

import gzip
import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any

from relay.rehearsal.amplitude_ids import Merge

PARTITION_LINES = 50_000  # the most a part file holds
SMALL_HOUR_LINES = 60  # an hour with more is split in two even so, for the sake of readers


@dataclass(frozen=True, slots=True)
class ExportHour:
    """The rows of one hour of `server_upload_time`.

    Attributes:
        project: Amplitude's project id.
        hour: Start of the hour, UTC.
        lines: JSON rows without line ends, by upload time.
    """

    project: int
    hour: datetime
    lines: Sequence[str]

    def members(self) -> Iterator[tuple[str, bytes]]:
        """The hour's part files: name in the archive and gzip bytes.

        Rows are dealt out in turn, so that a re-exported row and its double can stand in
        different files.
        """
        count = 1 + len(self.lines) // PARTITION_LINES
        if count == 1 and len(self.lines) > SMALL_HOUR_LINES:
            count = 2
        for partition in range(count):
            yield (
                member_name(self.project, self.hour, partition),
                gzip_lines(self.lines[partition::count]),
            )


def member_name(project: int, hour: datetime, partition: int) -> str:
    """`829528/829528_2026-06-16_9#0.json.gz`: the hour has no leading zero."""
    day = hour.astimezone(UTC)
    return f"{project}/{project}_{day:%Y-%m-%d}_{day.hour}#{partition}.json.gz"


def gzip_lines(lines: Iterable[str]) -> bytes:
    """UTF-8 lines, each ended by a line feed, as gzip without a time."""
    return gzip.compress("".join(f"{line}\n" for line in lines).encode(), 6, mtime=0)


class _Unseekable(io.RawIOBase):
    """Makes zipfile write data descriptors, as a server does that cannot go back."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def write(self, data: Any, /) -> int:
        self._target.write(data)
        return len(data)


def write_export_archive(
    target: IO[bytes], hours: Iterable[ExportHour], *, requested_at: datetime
) -> int:
    """Write an export archive, hour by hour.

    Args:
        target: Open for writing; need not be seekable.
        hours: In order.
        requested_at: The members' time stamp.

    Returns:
        The number of members. Without any, Amplitude would answer 404 and no archive.
    """
    moment = requested_at.astimezone(UTC)
    stamp = (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)
    count = 0
    with zipfile.ZipFile(_Unseekable(target), "w", zipfile.ZIP_STORED) as archive:
        for hour in hours:
            for name, content in hour.members():
                archive.writestr(zipfile.ZipInfo(name, stamp), content)
                count += 1
    return count


def export_archive(hours: Iterable[ExportHour], *, requested_at: datetime) -> bytes:
    """The archive as bytes; see `write_export_archive`."""
    target = io.BytesIO()
    write_export_archive(target, hours, requested_at=requested_at)
    return target.getvalue()


def cohort_csv(rows: Iterable[Sequence[str]], header: Sequence[str]) -> bytes:
    """A cohort file: every field in quotes, a line feed after every line, empty ids as `""`."""
    text = "".join(
        ",".join('"' + field.replace('"', '""') + '"' for field in row) + "\n"
        for row in (header, *rows)
    )
    return text.encode()


def merge_file_name(organisation: int, hour: datetime) -> str:
    """`-36958_2026-06-16_9.json.gz`: the hyphen stands for the organisation's scope."""
    day = hour.astimezone(UTC)
    return f"-{organisation}_{day:%Y-%m-%d}_{day.hour}.json.gz"


def merge_file(organisation: int, merges: Iterable[Merge]) -> bytes:
    """A merged-id file.

    The keys and their order are documented. That times are epoch milliseconds and that the scope is
    the negative organisation id, as in the file's name, is UNVERIFIED.
    """
    return gzip_lines(
        json.dumps(
            {
                "scope": -organisation,
                "merge_time": merge.event_ms,
                "merge_server_time": merge.server_ms,
                "amplitude_id": merge.amplitude_id,
                "merged_amplitude_id": merge.merged_amplitude_id,
            },
            separators=(",", ":"),
        )
        for merge in merges
    )
