"""CSV files with a header, as text columns for DuckDB: strict, and no row in an error's words.

The header is read here, because vendors' headers are no names to build on: a name may stand there
twice (the first one counts), and each header and value may begin with a TAB.

Source: RFC 4180; Amplitude's Behavioral Cohorts API as its own consumers read it.
"""

import csv
import io
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from relay.errors import InputFileError
from relay.load.event_columns import literal
from relay.load.members import GZIP_MAGIC, members_of

HEADER_BYTES = 1 << 20
_LONGEST_ROW_BYTES = 4 * 1024 * 1024
# DuckDB takes sixteen times the longest row when it is not told, for each of its buffers.
_BUFFER_BYTES = 4 * _LONGEST_ROW_BYTES
# No text is null in a CSV: this mark stands in no file.
_NO_NULL = "\x01null\x02"
_LINE_IN_MESSAGE = re.compile(r"CSV Error on Line: (\d+)")
_MEANINGS = {
    "unterminated quote": "has a quote that does not end as it should",
    "Expected Number of Columns": "has not as many columns as the header",
    "unicode": "is not UTF-8 text",
    "Maximum line size": f"is longer than {_LONGEST_ROW_BYTES >> 20} MiB",
}


@dataclass(frozen=True)
class CsvText:
    """A CSV file that can be read.

    Attributes:
        source: The file as the user or the loader named it; for messages.
        path: Its text, unpacked.
        header: Names in their order, without a leading TAB.
    """

    source: Path
    path: Path
    header: tuple[str, ...]

    @property
    def columns(self) -> dict[str, str]:
        """For each name its column in `rows`; a name that stands there twice is the first one.

        SQL would not tell names apart that differ by case only.
        """
        return {name: f"c{n}" for n, name in reversed(list(enumerate(self.header)))}

    def rows(self) -> str:
        """SQL: a relation of its rows, `columns` as text without a leading TAB."""
        types = ", ".join(f"{literal(f'c{n}')}: 'varchar'" for n in range(len(self.header)))
        columns = ", ".join(
            f"if({column}[1] = chr(9), {column}[2:], {column}) as {column}"
            for column in sorted(self.columns.values())
        )
        return (
            f"(select {columns} from read_csv({literal(str(self.path))}, columns = {{{types}}},"
            " header = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"',"
            " strict_mode = true, null_padding = false, ignore_errors = false,"
            f" nullstr = {literal(_NO_NULL)}, max_line_size = {_LONGEST_ROW_BYTES},"
            f" buffer_size = {_BUFFER_BYTES}))"
        )


@contextmanager
def open_csv(source: Path, path: Path | None = None) -> Iterator[CsvText]:
    """Check a file's start and end and unpack it where it is gzip.

    Args:
        source: The file, for messages.
        path: Where it can be read; default `source`.

    Raises:
        InputFileError: It is empty, has no header that can be read, or its last row is cut off; or,
            raised by what the block reads with `rows`, a row is not as it should be.
    """
    path = path or source
    with tempfile.TemporaryDirectory(prefix="relay-csv-") as folder:
        with path.open("rb") as file:
            is_gzip = file.read(2) == GZIP_MAGIC
        text = path
        if is_gzip:
            text = Path(folder) / "unpacked.csv"
            with text.open("wb") as out:
                for member in members_of(path):
                    out.writelines(member.pieces())
        header = _read_header(source, text)
        _check_end(source, text)
        try:
            yield CsvText(source, text, header)
        except duckdb.Error as error:
            problem = _explained(str(error))
            if problem is None:
                raise
            what, line = problem
            raise InputFileError(source, what, line=line) from None


def _read_header(source: Path, path: Path) -> tuple[str, ...]:
    with path.open("rb") as file:
        start = file.read(HEADER_BYTES)
    try:
        text = start.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 4:
            raise InputFileError(
                source, "is not UTF-8 text; expected a CSV file in UTF-8"
            ) from None
        text = start[: error.start].decode("utf-8-sig")
    try:
        header = next(csv.reader(io.StringIO(text, newline=""), strict=True), [])
    except csv.Error:
        header = []
    names = tuple(name.removeprefix("\t") for name in header)
    if not any(names):
        raise InputFileError(source, "has no header; expected a CSV file with column names", line=1)
    return names


def _check_end(source: Path, path: Path) -> None:
    """Refuse a last row that ends within a field, as that of a file which was cut off does."""
    with path.open("rb") as file:
        is_quoted = file.read(4).removeprefix(b"\xef\xbb\xbf").startswith(b'"')
        file.seek(max(0, path.stat().st_size - 1))
        last = file.read(1)
    if last in {b"\n", b"\r"} or (is_quoted and last == b'"'):
        return
    if is_quoted or last == b",":
        raise InputFileError(source, "is cut off in its last row; fetch it again")


def _explained(message: str) -> tuple[str, int | None] | None:
    """What is wrong with a row, and its line; None for an error that is not about the file."""
    for words, meaning in _MEANINGS.items():
        if words in message:
            line = _LINE_IN_MESSAGE.search(message)
            return f"a row {meaning}", int(line[1]) if line else None
    return None
