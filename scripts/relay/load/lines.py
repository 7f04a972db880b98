"""The lines of an export file, in batches, with their numbers and their bytes as they stand.

Reading is streamed: a batch is all that is in memory, whatever the size of the file. Nothing is
decoded here, so that a line that is no text keeps its bytes and its place.
"""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from relay.errors import InputFileError

GZIP_MAGIC = b"\x1f\x8b"
UTF8_BOM = b"\xef\xbb\xbf"
BATCH_BYTES = 16 * 1024 * 1024
LINE_BYTES = 64 * 1024 * 1024

LINE_TYPES = pa.schema(
    [("source_file", pa.string()), ("line_number", pa.int64()), ("content", pa.binary())]
)

# Other things an export may come as, by their first bytes.
_NOT_LINES = {
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"PAR1": "a Parquet file; export as JSON or CSV",
    b"<": "an XML file; export as JSON or CSV",
}


@dataclass(frozen=True)
class Line:
    """One line: its 1-based number and its bytes, without the line feed."""

    number: int
    content: bytes


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file's content, unpacked where its first bytes say gzip, without a byte order mark.

    Raises:
        InputFileError: The file cannot be read, is cut off or damaged, or is of another kind.
            Also raised while the block reads.
    """
    try:
        with path.open("rb") as file:
            is_packed = file.read(2) == GZIP_MAGIC
            file.seek(0)
            content = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if is_packed else file
            start = content.read(8)
            _refuse_other_kinds(path, start)
            content.seek(len(UTF8_BOM) if start.startswith(UTF8_BOM) else 0)
            yield content
    except EOFError as error:
        raise InputFileError(
            path, "the gzip data ends before its end; the file is cut off, fetch it again"
        ) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputFileError(path, f"the gzip data is damaged ({error}); fetch it again") from error
    except OSError as error:
        raise InputFileError(path, f"cannot be read: {error.strerror or error}") from error


def _refuse_other_kinds(path: Path, start: bytes) -> None:
    for magic, what in _NOT_LINES.items():
        if start.lstrip().startswith(magic):
            raise InputFileError(path, f"is {what}")


def read_lines(content: BinaryIO, path: Path) -> Iterator[Line]:
    """The lines one by one; the last one counts without a line feed too.

    Raises:
        InputFileError: A line is longer than `LINE_BYTES`.
    """
    number = 0
    while line := content.readline(LINE_BYTES + 1):
        number += 1
        if len(line) > LINE_BYTES:
            raise InputFileError(
                path, f"is longer than {LINE_BYTES} bytes; no event is", line=number
            )
        yield Line(number, line.removesuffix(b"\n"))


def batches_of(lines: Iterable[tuple[str, Line]]) -> Iterator[pa.Table]:
    """Lines of one or more files in tables of about `BATCH_BYTES`; blank ones are left out.

    Args:
        lines: Each with the name of its file.
    """
    files: list[str] = []
    numbers: list[int] = []
    contents: list[bytes] = []
    size = 0
    for source_file, line in lines:
        if not line.content or line.content.isspace():
            continue
        files.append(source_file)
        numbers.append(line.number)
        contents.append(line.content)
        size += len(line.content)
        if size >= BATCH_BYTES:
            yield pa.table([files, numbers, contents], schema=LINE_TYPES)
            files, numbers, contents, size = [], [], [], 0
    if numbers:
        yield pa.table([files, numbers, contents], schema=LINE_TYPES)
