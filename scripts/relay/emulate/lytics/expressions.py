"""The mapping expressions of Lytics' Amplitude page, as their open-source engine evaluates them."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

Row = Mapping[str, Any]
# Gives the value of a row, or None for no value.
Expression = Callable[[Row], Any]

_CALL = re.compile(r"(map|match|todate|valuect)\((.*)\)")
_FIELD = re.compile(r"[\w$.]+")
_TEXT = re.compile(r'"([^"]*)"')
GO_LAYOUT = {
    "2006": r"(?P<Y>\d{4})",
    "01": r"(?P<m>\d\d)",
    "02": r"(?P<d>\d\d)",
    "15": r"(?P<H>\d\d)",
    "04": r"(?P<M>\d\d)",
    "05": r"(?P<S>\d\d)",
    ".000000": r"\.(?P<f>\d{6})",
}
_LAYOUT_PART = re.compile("|".join(re.escape(part) for part in GO_LAYOUT))


def parse(text: str) -> Expression:
    """Read one expression.

    The grammar: a field; `map(field, field)`; `match("prefix.", …)`; `todate(field)`;
    `todate("Go layout", field)`; `valuect(field)`.

    Raises:
        ValueError: The text is not in the grammar.
    """
    call = _CALL.fullmatch(text.strip())
    if call is None:
        return field(_name(text))
    function = call.group(1)
    arguments = [argument.strip() for argument in call.group(2).split(",")]
    if function == "map" and len(arguments) == 2:
        return one_entry(_name(arguments[0]), _name(arguments[1]))
    if function == "match":
        return prefixed([_literal(argument) for argument in arguments])
    if function == "valuect" and len(arguments) == 1:
        return counted(_name(arguments[0]))
    if function == "todate" and len(arguments) == 1:
        return any_date(_name(arguments[0]))
    if function == "todate" and len(arguments) == 2:
        return date_of(_literal(arguments[0]), _name(arguments[1]))
    raise ValueError(f"not an expression: {text}")


def field(name: str) -> Expression:
    """The field itself."""
    return lambda row: row.get(name)


def one_entry(key: str, value: str) -> Expression:
    """A map of one entry; none when either is missing or an empty text, `false` being a value."""

    def evaluate(row: Row) -> Any:
        left, right = row.get(key), row.get(value)
        if left in (None, "") or right is None or right == "":
            return None
        return {text_of(left): right}

    return evaluate


def prefixed(prefixes: list[str]) -> Expression:
    """The non-null fields whose names start with a prefix, without it; none for an empty rest."""

    def evaluate(row: Row) -> Any:
        found = {
            name[len(prefix) :]: value
            for prefix in prefixes
            for name, value in row.items()
            if name.startswith(prefix) and len(name) > len(prefix) and value is not None
        }
        return found or None

    return evaluate


def counted(name: str) -> Expression:
    """A map that counts the value once; what an empty value does is UNVERIFIED: nothing."""

    def evaluate(row: Row) -> Any:
        value = row.get(name)
        return None if value in (None, "") else {text_of(value): 1}

    return evaluate


def any_date(name: str) -> Expression:
    """The field as a time, in any usual form."""
    return lambda row: read_time(row.get(name))


def date_of(layout: str, name: str) -> Expression:
    """The field as a time in exactly this Go layout; anything else is no value.

    Raises:
        ValueError: The layout has parts this emulator does not know.
    """
    pattern, end = "", 0
    for part in _LAYOUT_PART.finditer(layout):
        pattern += re.escape(layout[end : part.start()]) + GO_LAYOUT[part.group()]
        end = part.end()
    pattern += re.escape(layout[end:])
    if not {"Y", "m", "d"} <= set(re.findall(r"\?P<(\w)>", pattern)):
        raise ValueError(f"not a Go layout: {layout}")
    expected = re.compile(pattern)

    def evaluate(row: Row) -> Any:
        found = expected.fullmatch(str(row.get(name)))
        if found is None:
            return None
        part = {key: int(value) for key, value in found.groupdict().items()}
        try:
            return datetime(
                part["Y"],
                part["m"],
                part["d"],
                part.get("H", 0),
                part.get("M", 0),
                part.get("S", 0),
                part.get("f", 0),
                tzinfo=UTC,
            )
        except ValueError:
            return None

    return evaluate


def read_time(value: Any) -> datetime | None:
    """A time in one of the usual forms, in UTC; None when it is none.

    ISO 8601 with `T` or a space, without a zone taken as UTC; epoch seconds or milliseconds.
    """
    if isinstance(value, datetime):
        return value
    if isinstance(value, bool) or value is None:
        return None
    text = str(value).strip()
    if text.isdigit() and len(text) in (10, 13):
        return datetime.fromtimestamp(int(text) / (1 if len(text) == 10 else 1000), UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def text_of(value: Any) -> str:
    """A scalar as text: `true`, `17`, `1.5`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _name(text: str) -> str:
    name = text.strip()
    if not _FIELD.fullmatch(name):
        raise ValueError(f"not a field name: {text}")
    return name


def _literal(text: str) -> str:
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError(f"expected a text in double quotes: {text}")
    return found.group(1)
