"""CleverTap's memory: profiles, the events raised on them, and the segments these amount to."""

import json
import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Key = tuple[str, str]
LIST_ITEMS = 100
KEY_TYPES = {"identity": "identity", "objectId": "object_id", "FBID": "fbid", "GPID": "gpid"}
# Properties that cannot be lists (names in lower case).
SCALAR_ONLY = frozenset(
    {"name", "email", "education", "married", "dob", "gender"}
    | {"phone", "age", "fbid", "gpid", "birthday", "identity"}
)


class Event(NamedTuple):
    """One stored event; a repeat is another one."""

    profile: int
    name: str
    ts: int
    data: Mapping[str, Any]
    key: Key


class Membership(NamedTuple):
    """The latest word on one profile and one segment."""

    ts: int
    arrival: int
    action: str
    segment_name: str
    key: Key


@dataclass(slots=True)
class Profile:
    """One CleverTap profile and all keys that lead to it, as they were spelt first."""

    number: int
    keys: list[Key]
    data: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The profile as JSON."""
        return {
            "number": self.number,
            "keys": [{"key_type": kind, "key_value": value} for kind, value in self.keys],
            "profileData": self.data,
        }


def fold(text: str) -> str:
    """Simple lower case: one character to one, whatever the language."""
    if text.isascii():
        return text.lower()
    return "".join(_SIMPLE.get(c) or (c.lower() if len(c.lower()) == 1 else c) for c in text)


_SIMPLE = {"İ": "i"}


class Memory:
    """Everything one CleverTap account holds.

    Args:
        folded: Whether keys are compared without case.
    """

    def __init__(self, *, folded: bool) -> None:
        self._folded = folded
        self.profiles: dict[int, Profile] = {}
        self._by_key: dict[Key, int] = {}
        self.events: list[Event] = []
        self._profiles_made = 0
        self.segments: dict[str, dict[int, Membership]] = {}

    def matched(self, key: Key) -> Key:
        """The form in which a key is compared."""
        return (key[0], fold(key[1])) if self._folded else key

    def find(self, key: Key) -> Profile | None:
        """The profile of a key, if there is one."""
        number = self._by_key.get(self.matched(key))
        return None if number is None else self.profiles[number]

    def find_or_create(self, key: Key) -> Profile:
        """The profile of a key; a new one where the key is not known."""
        matched = self.matched(key)
        number = self._by_key.get(matched)
        if number is not None:
            return self.profiles[number]
        self._profiles_made += 1
        profile = Profile(self._profiles_made, [key])
        self.profiles[profile.number] = profile
        self._by_key[matched] = profile.number
        if key[0] != "object_id":
            self.link(profile, ("object_id", f"__{secrets.token_hex(16)}"))
        return profile

    def link(self, profile: Profile, key: Key) -> Profile:
        """Let a key lead to a profile; one it led to before is merged into it."""
        other = self.find(key)
        if other is profile:
            return profile
        if other is None:
            profile.keys.append(key)
            self._by_key[self.matched(key)] = profile.number
            return profile
        for known in other.keys:
            profile.keys.append(known)
            self._by_key[self.matched(known)] = profile.number
        profile.data = other.data | profile.data
        del self.profiles[other.number]
        for members in self.segments.values():
            moved = members.pop(other.number, None)
            if moved is not None:
                kept = members.get(profile.number, moved)
                members[profile.number] = max(kept, moved)
        return profile

    def raise_event(self, key: Key, name: str, ts: int, data: Mapping[str, Any]) -> None:
        """Store one event, and what it says about a segment, if it says anything."""
        profile = self.find_or_create(key)
        self.events.append(Event(profile.number, name, ts, data, key))
        segment, action = data.get("Partner Segment ID"), data.get("Action")
        if not isinstance(segment, str) or not isinstance(action, str):
            return
        said = Membership(
            ts, len(self.events), action, str(data.get("Partner Segment Name", "")), key
        )
        members = self.segments.setdefault(segment, {})
        before = members.get(profile.number)
        if before is None or said[:2] > before[:2]:
            members[profile.number] = said

    def members(self, segment_id: str) -> dict[int, Membership]:
        """The profiles whose last word on a segment is `Added`."""
        return {
            number: said
            for number, said in self.segments.get(segment_id, {}).items()
            if said.action == "Added"
        }

    def doubled(self) -> list[tuple[Event, int]]:
        """Events that are there more than once, word for word, with how often."""
        counted: Counter[str] = Counter()
        first: dict[str, Event] = {}
        for event in self.events:
            whole = json.dumps(
                [event.key[0], self.matched(event.key)[1], event.name, event.ts, event.data],
                sort_keys=True,
            )
            counted[whole] += 1
            first.setdefault(whole, event)
        return [(first[whole], count) for whole, count in counted.items() if count > 1]

    def update(self, profile: Profile, data: Mapping[str, Any]) -> list[str]:
        """Apply `profileData`; what could not be applied, in words."""
        wrong: list[str] = []
        for name, value in data.items():
            if isinstance(value, dict):
                problem = _operate(profile.data, name, value)
                if problem is not None:
                    wrong.append(problem)
            elif isinstance(value, list):
                _set_list(profile.data, name, value)
            else:
                profile.data[name] = value
        return wrong


def _operate(data: dict[str, Any], name: str, operation: Mapping[str, Any]) -> str | None:
    """Carry out one operator object on a property; what is wrong with it, if anything."""
    if len(operation) != 1:
        return f"{name}: one operator a property, got {sorted(operation)}"
    operator, value = next(iter(operation.items()))
    if operator in ("$add", "$remove", "$set"):
        if name.lower() in SCALAR_ONLY:
            return f"{name} cannot be a list"
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            return f"{name}: {operator} takes a list of texts"
        now = data.get(name, [])
        held = now if isinstance(now, list) else [str(now)]
        if operator == "$set":
            held = list(value)
        elif operator == "$add":
            held = [item for item in held if item not in value] + value
        else:
            held = [item for item in held if item not in value]
        _set_list(data, name, held)
        return None
    if operator in ("$incr", "$decr"):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return f"{name}: {operator} takes a number"
        held = data.get(name, 0)
        data[name] = held + (value if operator == "$incr" else -value)
        return None
    if operator == "$delete" and value is True:
        data.pop(name, None)
        return None
    return f"{name}: unknown operation {operator}"


def _set_list(data: dict[str, Any], name: str, items: list[Any]) -> None:
    """Hold a list: unique texts, the newest hundred; an empty list is no property."""
    unique = list(dict.fromkeys(str(item) for item in items))[-LIST_ITEMS:]
    if unique:
        data[name] = unique
    else:
        data.pop(name, None)
