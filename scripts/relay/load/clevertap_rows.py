"""The rows of a CleverTap export file, JSON or CSV, each as one JSON object with its own bytes.

A file holds the events of one name, which its first line is; newer files say it in each row
(`eventName`). How CSV columns are called is not published: a column of the row schema is taken with
its path (`profile.identity`) or, for the profile's, bare; any other column is an event property.
"""

import csv
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from relay.errors import InputFileError
from relay.load.lines import BATCH_BYTES, Line, read_lines

ROW_TYPES = pa.schema(
    [
        ("line_number", pa.int64()),
        ("content", pa.binary()),
        ("record", pa.string()),
        ("problem", pa.string()),
    ]
)
LONGEST_CELL = 1_000_000

_OBJECTS = {"profile", "deviceInfo", "eventProps", "sessionProps"}
_SCALARS = {"ts", "eventName", "controlGroupName"}
_PROFILE = {
    "identity", "objectId", "all_identities", "platform", "phone", "name", "email", "push_token"
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One row: the 1-based line it ends in, its bytes, its JSON text or what is wrong with it.

    `record` and `problem` both None: a line of JSON, still to be read.
    """

    line_number: int
    content: bytes
    record: str | None = None
    problem: str | None = None


def read_rows(content: BinaryIO, path: Path) -> tuple[str | None, Iterator[Row]]:
    """The name of the file's events, where its first line says it, and its rows.

    Raises:
        InputFileError: A CSV file has no header with a column `ts`. Also while rows are read, for
            a line of absurd length.
    """
    lines = (line for line in read_lines(content, path) if line.content.strip())
    first, second = next(lines, None), next(lines, None)
    start = [line for line in (first, second) if line is not None]
    if first is None:
        return None, iter(())
    if _is_csv(path, start):
        return _csv_rows(path, itertools.chain(start, lines))
    if first.content.lstrip().startswith(b"{"):
        return None, (Row(line.number, line.content) for line in itertools.chain(start, lines))
    rest = itertools.chain(start[1:], lines)
    return _event_name(first, path), (Row(line.number, line.content) for line in rest)


def batches_of_rows(rows: Iterator[Row]) -> Iterator[pa.Table]:
    """The rows in tables of `ROW_TYPES`, each of about `BATCH_BYTES`."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(row.content)
        if size >= BATCH_BYTES:
            yield _table(batch)
            batch, size = [], 0
    if batch:
        yield _table(batch)


def _table(rows: list[Row]) -> pa.Table:
    columns = [
        [row.line_number for row in rows],
        [row.content for row in rows],
        [row.record for row in rows],
        [row.problem for row in rows],
    ]
    return pa.table(columns, schema=ROW_TYPES)


def _is_csv(path: Path, start: list[Line]) -> bool:
    if ".csv" in path.name.lower():
        return True
    if ".json" in path.name.lower():
        return False
    return not any(line.content.lstrip().startswith(b"{") for line in start)


def _event_name(line: Line, path: Path) -> str:
    try:
        text = line.content.decode().strip()
    except UnicodeDecodeError:
        raise InputFileError(
            path, "expected the name of the events, as UTF-8 text", line=line.number
        ) from None
    if text.startswith('"') and text.endswith('"') and len(text) > 2:
        text = text[1:-1].replace('""', '"').strip()
    return text


def _csv_rows(path: Path, lines: Iterator[Line]) -> tuple[str | None, Iterator[Row]]:
    first = next(lines)
    header, name, header_line = _cells(first.content), None, first.number
    if "ts" not in header:
        name = _event_name(first, path)
        second = next(lines, None)
        if second is None:
            return name, iter(())
        header, header_line = _cells(second.content), second.number
    if "ts" not in header:
        raise InputFileError(
            path,
            "expected the name of the events, then a CSV header with a column ts",
            line=header_line,
        )
    return name, _records(header, lines)


def _cells(content: bytes) -> list[str]:
    """The cells of a header line; none where it is no CSV."""
    try:
        return [cell.strip() for cell in next(csv.reader([content.decode()], strict=True), [])]
    except (UnicodeDecodeError, csv.Error):
        return []


def _records(header: list[str], lines: Iterator[Line]) -> Iterator[Row]:
    """The CSV records; a quoted cell may hold line feeds, so a record may take several lines."""
    csv.field_size_limit(LONGEST_CELL)
    taken: list[Line] = []

    def texts() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            # Bytes that are no text stay recognisable, and in their place.
            yield line.content.decode("utf-8", "surrogateescape") + "\n"

    reader = csv.reader(texts(), strict=True)
    while True:
        taken.clear()
        problem, cells = None, []
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problem = f"is not CSV: {error}"
            reader = csv.reader(texts(), strict=True)
        content = b"\n".join(line.content for line in taken)
        number = taken[-1].number
        if problem is None and len(cells) != len(header):
            problem = f"has {len(cells)} cells, the header {len(header)}"
        if problem is None and any(not cell.isascii() and _has_surrogate(cell) for cell in cells):
            problem = "is not UTF-8 text"
        if problem is not None:
            yield Row(number, content, problem=problem)
        else:
            yield Row(number, content, record=_as_json(header, cells))


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _as_json(header: list[str], cells: list[str]) -> str:
    record: dict[str, Any] = {}
    for column, cell in zip(header, cells, strict=True):
        if not cell:
            continue
        head, _, tail = column.partition(".")
        if column in _SCALARS:
            record[column] = cell
        elif head in _OBJECTS and tail:
            _put(record, head, tail, cell)
        elif column in _OBJECTS:
            record[column] = _parsed(cell)
        elif column in _PROFILE:
            _put(record, "profile", column, cell)
        else:
            _put(record, "eventProps", column, cell)
    return json.dumps(record, ensure_ascii=False)


def _put(record: dict[str, Any], part: str, key: str, cell: str) -> None:
    holder = record.setdefault(part, {})
    if isinstance(holder, dict):
        holder[key] = cell


def _parsed(cell: str) -> Any:
    """A cell that holds a whole object as JSON; as text where it does not."""
    try:
        return json.loads(cell)
    except ValueError:
        return cell
