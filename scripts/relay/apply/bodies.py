"""Takes some records out of a sealed request body without changing a byte of any.

A request that was refused in part, or is too large, goes again with fewer records. Each record is
a slice of the sealed text, never parsed and printed anew: numbers of 64 bits, escapes and the order
of keys stay what was sealed.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from json.decoder import WHITESPACE  # type: ignore[attr-defined]
from typing import Any

from relay.errors import PlanError

_scan = json.JSONDecoder().raw_decode


@dataclass(frozen=True, slots=True)
class Body:
    """A request body, cut: what stands before the records, the records, what follows."""

    prefix: str
    records: tuple[str, ...]
    suffix: str

    def of(self, positions: Sequence[int]) -> bytes:
        """The body with these records only, in this order."""
        records = ",".join(self.records[position] for position in positions)
        return f"{self.prefix}{records}{self.suffix}".encode()

    def record(self, position: int) -> dict[str, Any]:
        """One record, parsed."""
        return dict(json.loads(self.records[position]))


def cut_body(body: bytes, path: Sequence[str]) -> Body:
    """Cut a body at the list of records that `path` leads to; an empty path is the body itself.

    Raises:
        PlanError: There is no such list.
    """
    try:
        text = body.decode("utf-8")
        start = _skip(text, 0)
        for key in path:
            start = _value_of(text, start, key)
        if text[start] != "[":
            raise ValueError("no list")
        records, end = _elements(text, start + 1)
    except (ValueError, IndexError) as error:
        where = ".".join(path) or "the body"
        raise PlanError(
            f"a request body has no list at {where} ({error}); the plan was sealed by a version "
            "that this one does not understand: run `relay plan` for a new one"
        ) from error
    return Body(text[: start + 1], records, text[end:])


def _skip(text: str, position: int) -> int:
    return int(WHITESPACE.match(text, position).end())


def _value_of(text: str, start: int, wanted: str) -> int:
    """Where the value of a key begins in the object that begins at `start`."""
    if text[start] != "{":
        raise ValueError("no object")
    position = _skip(text, start + 1)
    while text[position] != "}":
        key, position = _scan(text, position)
        position = _skip(text, position)
        if text[position] != ":":
            raise ValueError("no colon after a key")
        position = _skip(text, position + 1)
        if key == wanted:
            return position
        _, position = _scan(text, position)
        position = _skip(text, position)
        if text[position] == ",":
            position = _skip(text, position + 1)
    raise ValueError(f"no key {wanted!r}")


def _elements(text: str, start: int) -> tuple[tuple[str, ...], int]:
    """The texts of a list's elements, and where its closing bracket stands."""
    elements = []
    position = _skip(text, start)
    while text[position] != "]":
        _, end = _scan(text, position)
        elements.append(text[position:end])
        position = _skip(text, end)
        if text[position] == ",":
            position = _skip(text, position + 1)
    return tuple(elements), position
