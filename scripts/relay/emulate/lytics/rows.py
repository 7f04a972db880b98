"""Reading what is uploaded to Lytics: CSV, JSON and JSON lines into rows, with their errors."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from relay.emulate.exchange import read_json

DELIMITERS = {"t": "\t", "tab": "\t", "|": "|", ",": ","}


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be taken, and why."""

    place: str
    problem: str

    def text(self) -> str:
        """The message of the answer."""
        return f"{self.place}: {self.problem}"


class UnreadableError(Exception):
    """The body as a whole cannot be read."""


Rows = Iterator[dict[str, Any] | BadRow]


def csv_rows(body: bytes, *, headers: list[str] | None, delimiter: str) -> Rows:
    """Rows of a CSV; each with as many cells as there are columns, missing values being empty.

    Raises:
        UnreadableError: It is not UTF-8, or has no header.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableError("the body is not UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns = headers
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            if columns is None:
                raise UnreadableError("there is no header") from None
            return
        except csv.Error as error:
            yield BadRow(f"line {reader.line_num}", str(error))
            continue
        if not cells:
            continue
        if columns is None:
            columns = cells
            continue
        if len(cells) != len(columns):
            problem = f"wrong number of fields: {len(cells)} instead of {len(columns)}"
            yield BadRow(f"line {reader.line_num}", problem)
            continue
        yield dict(zip(columns, cells, strict=True))


def json_rows(body: bytes) -> Rows:
    """Rows of a JSON object, or of an array of them.

    Raises:
        UnreadableError: It is neither.
    """
    document = _document(body)
    for index, row in enumerate(document if isinstance(document, list) else [document]):
        yield _checked(row, f"record {index + 1}")


def json_lines(body: bytes) -> Rows:
    """Rows of newline-delimited JSON; empty lines are passed over."""
    for number, line in enumerate(body.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = read_json(line)
        except ValueError:
            yield BadRow(f"line {number}", "invalid JSON")
            continue
        yield _checked(row, f"line {number}")


def _document(body: bytes) -> Any:
    try:
        return read_json(body)
    except ValueError as error:
        raise UnreadableError("invalid JSON") from error


def _checked(row: Any, place: str) -> dict[str, Any] | BadRow:
    if not isinstance(row, dict):
        return BadRow(place, "not an object")
    for name, value in row.items():
        if isinstance(value, list) and any(isinstance(one, (dict, list)) for one in value):
            return BadRow(place, f"objects inside the array {name}")
    return row


def appended(text: str) -> Mapping[str, Any]:
    """The object of the parameter `append`.

    Raises:
        UnreadableError: It is not a JSON object.
    """
    document = _document(text.encode())
    if not isinstance(document, dict):
        raise UnreadableError("append is not a JSON object")
    return document
