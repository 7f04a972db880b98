"""Lytics' mapping applied to stream rows in plain Python: what the SQL is held against.

Written from the vendor's page and reference on its own: it shares nothing with the models but the
seed, whose rows it reads, and the JSON text of the rows.
"""

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FIELD_MAP = Path(__file__).parents[2] / "seeds" / "mappings" / "lytics_field_map.csv"
UNIQUE_IDS = {"amplitude_id": "amplitude_id", "user_id": "amplitude_user_id"}


@dataclass(frozen=True)
class Mapped:
    """One row of the seed: stream, expression, target field and type."""

    stream: str
    expression: str
    target: str
    kind: str
    is_active: bool


@dataclass(frozen=True)
class StreamRow:
    """A row as it was sent: its stream, when it counts as having happened, and what it says.

    `order` is compared after the time, where two rows have the same.
    """

    stream: str
    at: datetime
    order: int
    values: Mapping[str, Any]


@dataclass
class Profile:
    """A profile while rows are applied: newest values by field and key, and sums."""

    newest: dict[tuple[str, str | None], tuple[tuple[datetime, int], Any]] = field(
        default_factory=dict
    )
    sums: dict[tuple[str, str], int] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The profile as JSON would have it."""
        found: dict[str, Any] = {}
        for (target, key), (_, value) in self.newest.items():
            if key is None:
                found[target] = value
            else:
                found.setdefault(target, {})[key] = value
        for (target, key), total in self.sums.items():
            found.setdefault(target, {})[key] = total
        return found


def field_map(path: Path = FIELD_MAP, *, additional: bool = False) -> list[Mapped]:
    """The rows of the seed that apply."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [
            Mapped(
                row["stream"],
                row["source_expression"],
                row["target_field"],
                row["target_type"],
                row["is_active"] == "true",
            )
            for row in csv.DictReader(file)
        ]
    return [row for row in rows if row.is_active or additional]


def profiles_of(
    rows: Sequence[StreamRow], mappings: Iterable[Mapped]
) -> dict[frozenset[tuple[str, str]], dict[str, Any]]:
    """The profiles that the rows end in, each under all its unique ids."""
    by_stream: dict[str, list[Mapped]] = {}
    for mapping in mappings:
        by_stream.setdefault(mapping.stream, []).append(mapping)
    root: dict[tuple[str, str], tuple[str, str]] = {}

    def find(key: tuple[str, str]) -> tuple[str, str]:
        root.setdefault(key, key)
        while root[key] != key:
            key = root[key]
        return key

    keys_of = []
    for row in rows:
        keys = [
            (target, str(row.values[name]))
            for name, target in UNIQUE_IDS.items()
            if row.values.get(name)
        ]
        keys_of.append(keys)
        for key in keys[1:]:
            root[find(key)] = find(keys[0])
    profiles: dict[tuple[str, str], Profile] = {}
    for row, keys in zip(rows, keys_of, strict=True):
        profile = profiles.setdefault(find(keys[0]), Profile())
        for mapping in by_stream.get(row.stream, []):
            for entry, value in _values(mapping, row.values):
                _put(profile, mapping, entry, value, (row.at, row.order))
    members: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for keys in keys_of:
        for key in keys:
            members.setdefault(find(key), set()).add(key)
    return {frozenset(members[key]): profile.document() for key, profile in profiles.items()}


def _put(
    profile: Profile, mapping: Mapped, key: str | None, value: Any, order: tuple[datetime, int]
) -> None:
    if mapping.kind == "map[string]intsum":
        slot = (mapping.target, str(key))
        profile.sums[slot] = profile.sums.get(slot, 0) + 1
        return
    held = profile.newest.get((mapping.target, key))
    if held is None or held[0] <= order:
        profile.newest[mapping.target, key] = (order, value)


def _values(mapping: Mapped, row: Mapping[str, Any]) -> Iterator[tuple[str | None, Any]]:
    """The entries that a mapping gives for a row: key (None for a scalar) and cast value."""
    expression, kind = mapping.expression, mapping.kind
    inner = kind.removeprefix("map[string]")
    if found := re.fullmatch(r"map\((.+), (.+)\)", expression):
        key, value = row.get(found[1]), _cast(inner, row.get(found[2]))
        if key not in (None, "") and value is not None:
            yield _text(key), value
    elif found := re.fullmatch(r'match\("(.+)"\)', expression):
        for name, raw in row.items():
            value = _cast(inner, raw)
            if name.startswith(found[1]) and name != found[1] and value is not None:
                yield name[len(found[1]) :], value
    elif found := re.fullmatch(r"valuect\((.+)\)", expression):
        if row.get(found[1]) not in (None, ""):
            yield _text(row[found[1]]), 1
    elif found := re.fullmatch(r'todate\("(.+)", (.+)\)', expression):
        assert found[1] == "2006-01-02 15:04:05.000000"
        text = str(row.get(found[2], ""))
        if re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", text):
            yield None, _iso(datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC))
    else:
        found = re.fullmatch(r"todate\((.+)\)", expression)
        value = _cast(kind, row.get(found[1] if found else expression.strip("`")))
        if value is not None:
            yield None, value


def _cast(kind: str, value: Any) -> Any:
    if value is None or value == "":
        return None
    text = _text(value)
    if kind == "string":
        return text
    if kind == "bool":
        if text in ("1", "t", "T", "TRUE", "true", "True"):
            return True
        return False if text in ("0", "f", "F", "FALSE", "false", "False") else None
    if kind == "date":
        return _iso(datetime.fromisoformat(text))
    try:
        number = float(text)
    except ValueError:
        return None
    if kind == "number":
        return number if math.isfinite(number) else None
    assert kind == "int", kind
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    return int(number) if number.is_integer() else None


def _iso(moment: datetime) -> str:
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)
