"""Reads the CSV files that are the user's own: junk ids, overrides, suppressions.

Each has a header, is UTF-8 (with or without a byte order mark) and may have more columns than are
read. All problems of a file are told at once. Regular expressions are RE2, as DuckDB has them.
"""

import csv
import io
import re
from collections.abc import Callable, Collection, Generator, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection

from relay.errors import ConfigurationError

JUNK_ID_TYPES = (
    "any",
    "user_id",
    "device_id",
    "amplitude_id",
    "clevertap_identity",
    "moe_anonymous_id",
)
PERSON_ID_TYPES = ("user_id", "amplitude_id", "device_id")
MATCHES = ("exact", "regex")

_OVERRIDE_ID = re.compile(r"(?P<type>[a-z_]+):(\{(?P<namespace>[^{}]*)\})?(?P<value>[^{].*)", re.S)
_MAX_AMPLITUDE_ID = 2**63 - 1

Problems = Iterator[tuple[str, str]]


def read_junk_ids(path: Path | None, connection: DuckDBPyConnection) -> list[dict[str, Any]]:
    """Rows of `id_type,match,pattern,origin,is_active`, each with its `line`; none without a file.

    Raises:
        ConfigurationError: A column is missing or a cell is not right (identity rule ID-4).
    """

    def check(row: dict[str, Any]) -> Problems:
        yield from _expect_one_of(row, "id_type", JUNK_ID_TYPES)
        yield from _expect_pattern(row, "pattern", connection)
        yield from _expect_one_of(row, "is_active", ("true", "false"))

    rows = _read(path, ("id_type", "match", "pattern", "origin", "is_active"), check)
    return [{**row, "is_active": row["is_active"] == "true"} for row in rows]


def read_suppressions(path: Path | None, connection: DuckDBPyConnection) -> list[dict[str, Any]]:
    """Rows of `id_type,id_value,match`, each with its `line`; none without a file.

    Raises:
        ConfigurationError: A column is missing or a cell is not right (identity rule ID-11).
    """

    def check(row: dict[str, Any]) -> Problems:
        yield from _expect_one_of(row, "id_type", PERSON_ID_TYPES)
        yield from _expect_pattern(row, "id_value", connection)
        if (row["id_type"], row["match"]) == ("amplitude_id", "exact"):
            yield from _expect_amplitude_id("id_value", row["id_value"])

    return _read(path, ("id_type", "id_value", "match"), check)


def read_overrides(path: Path | None, namespaces: Collection[str]) -> list[dict[str, Any]]:
    """Rows of `kind,left,right,note,author,decided_on`, with `left_id`, `right_id` and `line`.

    Args:
        path: The file; None for none.
        namespaces: The namespaces that projects have, besides `default`.

    Raises:
        ConfigurationError: A column is missing or a cell is not right (identity rule ID-11).
    """
    known = {"default", *namespaces}

    def check(row: dict[str, Any]) -> Problems:
        yield from _expect_one_of(row, "kind", ("link", "separate"))
        left = yield from _expect_override_id(row, "left", known)
        right = yield from _expect_override_id(row, "right", known)
        if left and right:
            if left == right:
                yield "right", "expected another identifier than left"
            elif left[0] != right[0]:
                yield "right", "expected the namespace of left: nobody is in two"
        if row["decided_on"]:
            try:
                date.fromisoformat(row["decided_on"])
            except ValueError:
                yield "decided_on", "expected a date such as 2026-01-31, or nothing"

    rows = _read(path, ("kind", "left", "right", "note", "author", "decided_on"), check)
    return [
        {
            "kind": row["kind"],
            "left_id": row["left"],
            "right_id": row["right"],
            "note": row["note"] or None,
            "author": row["author"] or None,
            "decided_on": row["decided_on"] or None,
            "line": row["line"],
        }
        for row in rows
    ]


def _read(
    path: Path | None, columns: tuple[str, ...], check: Callable[[dict[str, Any]], Problems]
) -> list[dict[str, Any]]:
    """The file's rows: text of `columns`, stripped, and `line`, where the row begins."""
    if path is None:
        return []
    records = _records(path)
    _, header = next(records, (1, []))
    problems = [
        (1, column, f"expected this column in the header: {','.join(columns)}")
        for column in columns
        if header.count(column) != 1
    ]
    rows: list[dict[str, Any]] = []
    for line, record in () if problems else records:
        if len(record) != len(header):
            found = f"expected {len(header)} fields as in the header, found {len(record)}"
            problems.append((line, "", f"{found}; a value with a comma stands in quotes"))
            continue
        cells = dict(zip(header, record, strict=True))
        row: dict[str, Any] = {column: cells[column] for column in columns}
        problems += [(line, field, text) for field, text in check(row)]
        rows.append({**row, "line": line})
    if problems:
        raise ConfigurationError.of_file(path, problems)
    return rows


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Each record that is not blank, its cells stripped, with the line it begins in."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for record in reader:
            if any(cell.strip() for cell in record):
                yield line, [cell.strip() for cell in record]
            line = reader.line_num + 1
    except csv.Error as error:
        raise ConfigurationError(f"{path}:{line}: is not CSV: {error}") from error


def _expect_one_of(row: dict[str, Any], field: str, legal: tuple[str, ...]) -> Problems:
    if row[field] not in legal:
        yield field, f"expected {' | '.join(legal)}"


def _expect_pattern(row: dict[str, Any], field: str, connection: DuckDBPyConnection) -> Problems:
    """A value to compare with: some text, and what `match` says it is."""
    yield from _expect_one_of(row, "match", MATCHES)
    if not row[field]:
        yield field, "expected some text"
    elif row["match"] == "regex":
        try:
            connection.execute("select regexp_full_match('', ?)", [row[field]]).fetchall()
        except duckdb.Error as error:
            reason = str(error).removeprefix("Invalid Input Error: ")
            yield field, f"expected a regular expression of RE2: {reason}"


def _expect_amplitude_id(field: str, value: str) -> Problems:
    digits = re.fullmatch(r"0*([0-9]{1,19})(\.0+)?", value)
    if digits is None or not 1 <= int(digits[1]) <= _MAX_AMPLITUDE_ID:
        yield field, f"expected an amplitude id, a number from 1 to {_MAX_AMPLITUDE_ID}"


def _expect_override_id(
    row: dict[str, Any], field: str, known: Collection[str]
) -> Generator[tuple[str, str], None, tuple[str, str, str] | None]:
    """The identifier's namespace, type and value; None when it is not one."""
    parts = _OVERRIDE_ID.fullmatch(row[field])
    if parts is None or parts["type"] not in PERSON_ID_TYPES:
        yield (
            field,
            (
                "expected an identifier such as user_id:Ann, amplitude_id:812, device_id:ipad-7, "
                "in another namespace user_id:{partner_org}Ann"
            ),
        )
        return None
    namespace = parts["namespace"] or "default"
    if parts["namespace"] is not None and parts["namespace"] not in known:
        yield field, f"expected a namespace of identity.namespaces: {', '.join(sorted(known))}"
        return None
    if parts["type"] == "amplitude_id":
        problems = list(_expect_amplitude_id(field, parts["value"]))
        yield from problems
        if problems:
            return None
    return namespace, parts["type"], parts["value"]
