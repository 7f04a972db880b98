"""Lytics' profiles: rows mapped, cast, stitched on unique ids, the newest value of a field kept."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from relay.emulate.lytics.expressions import Row, text_of
from relay.emulate.lytics.mappings import Kind, Mapping

# A unique id: field and value.
Key = tuple[str, str]
TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_INT = re.compile(r"-?\d+")


@dataclass(frozen=True, slots=True, order=True)
class Held:
    """A value and when it was said; of equal times the later arrival is the newer."""

    at: datetime
    arrival: int
    value: Any = field(compare=False)


@dataclass(slots=True)
class Profile:
    """One profile.

    Attributes:
        keys: The unique ids that lead to it.
        scalars: Field → newest value.
        maps: Field → key → newest value.
        sums: Field → key → sum.
    """

    number: int
    keys: set[Key] = field(default_factory=set)
    scalars: dict[str, Held] = field(default_factory=dict)
    maps: dict[str, dict[str, Held]] = field(default_factory=dict)
    sums: dict[str, dict[str, int]] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        """The profile's fields; times as ISO 8601 in UTC."""
        found: dict[str, Any] = {name: _shown(held.value) for name, held in self.scalars.items()}
        for name, entries in self.maps.items():
            found[name] = {key: _shown(held.value) for key, held in entries.items()}
        for name, sums in self.sums.items():
            found[name] = dict(sums)
        return dict(sorted(found.items()))

    def put(self, mapping: Mapping, value: Any, at: datetime, arrival: int) -> None:
        """Take a cast value of one mapping."""
        if mapping.kind == "map[string]intsum":
            sums = self.sums.setdefault(mapping.target, {})
            for key, count in value.items():
                sums[key] = sums.get(key, 0) + count
        elif isinstance(value, dict):
            entries = self.maps.setdefault(mapping.target, {})
            for key, inner in value.items():
                _newest(entries, key, Held(at, arrival, inner))
        else:
            _newest(self.scalars, mapping.target, Held(at, arrival, value))

    def absorb(self, other: "Profile") -> None:
        """Become one with another profile."""
        self.keys |= other.keys
        for name, held in other.scalars.items():
            _newest(self.scalars, name, held)
        for name, entries in other.maps.items():
            mine = self.maps.setdefault(name, {})
            for key, held in entries.items():
                _newest(mine, key, held)
        for name, sums in other.sums.items():
            added = self.sums.setdefault(name, {})
            for key, count in sums.items():
                added[key] = added.get(key, 0) + count


class Profiles:
    """All profiles of an account."""

    def __init__(self) -> None:
        self.profiles: dict[int, Profile] = {}
        self._by_key: dict[Key, int] = {}
        self._made = 0
        self._rows = 0
        self.unidentified = 0
        self.oversized = 0

    def apply(
        self,
        row: Row,
        mappings: Sequence[Mapping],
        at: datetime,
        *,
        empty_is_missing: bool,
        max_keys: int,
    ) -> None:
        """Apply one row of a stream.

        Args:
            row: The row as it was read.
            mappings: Those of its stream.
            at: Its event time.
            empty_is_missing: Whether empty text is no value for a direct mapping.
            max_keys: A row that would give a profile more unique ids goes to the profile of its
                first id alone, and is counted as `oversized`.
        """
        self._rows += 1
        values: list[tuple[Mapping, Any]] = []
        keys: list[Key] = []
        for mapping in mappings:
            value = cast(mapping.kind, mapping.evaluate(row))
            if value is None or (value == "" and (empty_is_missing or mapping.is_unique_id)):
                continue
            values.append((mapping, value))
            if mapping.is_unique_id:
                keys.append((mapping.target, value))
        if not keys:
            self.unidentified += 1
            return
        profile = self._stitched(keys, max_keys)
        for mapping, value in values:
            profile.put(mapping, value, at, self._rows)

    def find(self, key: Key) -> Profile | None:
        """The profile of a unique id, if there is one."""
        number = self._by_key.get(key)
        return None if number is None else self.profiles[number]

    def _stitched(self, keys: list[Key], max_keys: int) -> Profile:
        found = {self._by_key[key] for key in keys if key in self._by_key}
        together = {key for number in found for key in self.profiles[number].keys} | set(keys)
        if len(together) > max_keys and len(keys) > 1:
            self.oversized += 1
            return self._stitched(keys[:1], max_keys)
        if not found:
            self._made += 1
            self.profiles[self._made] = Profile(self._made)
            found = {self._made}
        first, *others = sorted(found)
        profile = self.profiles[first]
        for number in others:
            profile.absorb(self.profiles.pop(number))
        profile.keys |= set(keys)
        for key in profile.keys:
            self._by_key[key] = first
        return profile


def cast(kind: Kind, value: Any) -> Any:
    """A value as a field of this kind holds it; None where that is not possible."""
    if value is None:
        return None
    if kind.startswith("map["):
        if not isinstance(value, dict):
            return None
        inner = kind.removeprefix("map[string]")
        entries = {key: _scalar(inner, entry) for key, entry in value.items()}
        return {key: entry for key, entry in entries.items() if entry is not None} or None
    return _scalar(kind, value)


def _scalar(kind: str, value: Any) -> Any:
    if kind == "date":
        return value if isinstance(value, datetime) else None
    if isinstance(value, (dict, list)):
        return None
    text = text_of(value)
    if kind == "string":
        return text
    if kind == "bool":
        return True if text in TRUE else False if text in FALSE else None
    if kind in ("int", "intsum"):
        return int(text) if _INT.fullmatch(text) else None
    try:
        return float(text)
    except ValueError:
        return None


def _newest(entries: dict[str, Held], key: str, held: Held) -> None:
    before = entries.get(key)
    if before is None or held >= before:
        entries[key] = held


def _shown(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value
