"""Who is a member under which key, worked out from the script.

Nothing here looks at Amplitude ids, exports or models: it asks the script who signed in where, and
applies the identity rules to that. It covers what scripts are allowed to contain:

* a device that a cohort lists is used by one person; the first user who signs in on it after it
  was anonymous is that person (R3, R6, ID-9, ID-10);
* an anonymous member has one device, so "latest seen" never has to choose (ID-16);
* a user id is usable, or one of the junk words below, and then never also usable on that
  Amplitude id (ID-4, ID-5).

Keys are those of a CleverTap sync: `identity` = the user id, else `object_id` = the device
(ID-18), compared in lower case.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from relay.rehearsal.script import Cohort, Member, Script, to_ms

JUNK_USER_IDS = frozenset({"null", "undefined"})
CLEVERTAP_ID = re.compile(r"[A-Za-z0-9()!:@$_=|<>;+.\-]{1,64}")

KeyType = Literal["identity", "object_id"]
Status = Literal["ok", "no_key", "invalid_key"]


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What a destination is given, compared in folded form; `value` is the spelling sent."""

    key_type: KeyType
    match_key: str

    def __str__(self) -> str:
        return f"{self.key_type}:{self.match_key}"


@dataclass(frozen=True, slots=True)
class TruePerson:
    """A person as far as the data can tell at a step.

    Attributes:
        label: `user:Ann` or `device:ipad-7`: what is known of them.
        people: Numbers of the made-up people behind the rows, smallest first.
        rows: How many rows of the cohort's file are about this person.
        status: `ok`, or why there is no key.
        detail: The reason in the identity rules' word; empty for `ok`.
        key: Its key, where there is one.
        key_value: The spelling of its own user id or device.
    """

    label: str
    people: tuple[int, ...]
    rows: int
    status: Status
    detail: str
    key: Key | None
    key_value: str | None


@dataclass(frozen=True, slots=True)
class Truth:
    """A cohort at a step.

    Attributes:
        cohort_id: Amplitude's id of it.
        step: From 1.
        rows: Rows of the file.
        unidentifiable: Rows that name nobody.
        persons: The members, by label.
        keys: Each key and the value sent for it: the smallest spelling of the persons it stands
            for, by code point.
    """

    cohort_id: str
    step: int
    rows: int
    unidentifiable: int
    persons: tuple[TruePerson, ...]
    keys: Mapping[Key, str]


@dataclass(frozen=True, slots=True)
class TrueChange:
    """A key that enters or leaves, and why, in the words of ID-23."""

    key: Key
    key_value: str
    reason: str


@dataclass(frozen=True, slots=True)
class TrueDiff:
    """What a sync has to send at a step, the one before having been delivered whole.

    Attributes:
        added: Keys to add: reason `entered` or `rekeyed`.
        removed: Keys to remove: reason `left_cohort`, `rekeyed`, `unsendable` or `person_gone`.
        reasserted: Keys to send once more, because a removed key of the same person might take
            them out.
        unchanged: Keys in neither list; those to re-assert are among them.
    """

    cohort_id: str
    step: int
    added: tuple[TrueChange, ...]
    removed: tuple[TrueChange, ...]
    reasserted: tuple[Key, ...]
    unchanged: tuple[Key, ...]


def clean(value: str) -> str:
    """A text identifier as the rules compare it: NFC, no blanks around it (ID-3)."""
    return unicodedata.normalize("NFC", value).strip()


def fold(value: str) -> str:
    """One code point to one, lower case: what DuckDB's `lower()` does (ID-3)."""
    return "".join(low if len(low := letter.lower()) == 1 else letter for letter in value)


class TrueWorld:
    """Answers what is true at each step of a script.

    Args:
        script: The world.
        user_id_from: Where a person's identity comes from, as in a sync: `user_id` and
            `CleverTap_Identity`, the first that is there.
    """

    def __init__(self, script: Script, user_id_from: Sequence[str] = ("user_id",)) -> None:
        self._script = script
        self._user_id_from = tuple(user_id_from)
        self._sign_ins: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
        self._devices_of: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
        self._first_seen: dict[str, int] = {}
        self._properties: defaultdict[str, list[tuple[int, int, str]]] = defaultdict(list)
        for visit in sorted(script.visits, key=lambda visit: visit.uploaded_ms):
            self._first_seen.setdefault(visit.device_id, visit.uploaded_ms)
            if visit.user_id is None:
                continue
            user_id = clean(visit.user_id)
            self._sign_ins[visit.device_id].append((visit.uploaded_ms, user_id))
            self._devices_of[user_id].append((visit.uploaded_ms, visit.device_id))
            for value in self._clevertap_identity(visit.person, visit.starts_ms):
                self._properties[user_id].append((visit.starts_ms, visit.uploaded_ms, value))

    def truth(self, cohort: Cohort, step: int) -> Truth:
        """The members of a cohort at a step, and their keys."""
        by_label: defaultdict[str, list[int]] = defaultdict(list)
        unidentifiable = 0
        members = cohort.rows(step)
        for member in members:
            label = self.person_of(member, step)
            if label is None:
                unidentifiable += 1
            else:
                by_label[label].append(member.person)
        persons = tuple(
            self._person(label, numbers, step) for label, numbers in sorted(by_label.items())
        )
        values: defaultdict[Key, list[str]] = defaultdict(list)
        for person in persons:
            if person.key is not None and person.key_value is not None:
                values[person.key].append(person.key_value)
        keys = {key: min(values[key]) for key in sorted(values)}
        return Truth(cohort.cohort_id, step, len(members), unidentifiable, persons, keys)

    def diff(self, cohort: Cohort, step: int) -> TrueDiff:
        """What changes from the step before; everything is added at step 1."""
        now = self.truth(cohort, step)
        before = self.truth(cohort, step - 1) if step > 1 else None
        keys_before = before.keys if before else {}
        key_now = {person.label: person.key for person in now.persons}
        behind_before = self._rows_behind(cohort, step - 1) if step > 1 else {}
        removed, reasserted, rekeyed_to = [], set(), set()
        for key in (key for key in keys_before if key not in now.keys):
            holders = [self.person_of(member, step) for member in behind_before[key]]
            reason, replaced_by = _why_removed(holders, key_now)
            removed.append(TrueChange(key, keys_before[key], reason))
            rekeyed_to |= replaced_by
            reasserted |= {new for new in replaced_by if new in keys_before}
        added = tuple(
            TrueChange(key, value, "rekeyed" if key in rekeyed_to else "entered")
            for key, value in now.keys.items()
            if key not in keys_before
        )
        return TrueDiff(
            cohort.cohort_id,
            step,
            added,
            tuple(removed),
            tuple(sorted(reasserted)),
            tuple(key for key in now.keys if key in keys_before),
        )

    def person_of(self, member: Member, step: int) -> str | None:
        """Label of the person that a row is about, as far as the data can tell at a step.

        None where the row names nobody: the junk user id of several devices has made one
        Amplitude id of strangers (ID-5).
        """
        clock_ms = to_ms(self._script.clock(step))
        if member.device_id is not None:
            users = [who for at, who in self._sign_ins[member.device_id] if at < clock_ms]
            return f"user:{users[0]}" if users else f"device:{member.device_id}"
        user_id = clean(member.user_id or "")
        if user_id.lower() not in JUNK_USER_IDS:
            return f"user:{user_id}"
        devices = {device for at, device in self._devices_of[user_id] if at < clock_ms}
        return f"device:{devices.pop()}" if len(devices) == 1 else None

    def _person(self, label: str, numbers: list[int], step: int) -> TruePerson:
        kind, _, value = label.partition(":")
        clock_ms = to_ms(self._script.clock(step))
        status: Status = "ok"
        key_type: KeyType = "identity" if kind == "user" else "object_id"
        detail = ""
        if kind == "user":
            value = self._identity(value, clock_ms)
        elif self._first_seen.get(value, clock_ms) >= clock_ms:
            status, detail = "no_key", "no_identifier"
        elif CLEVERTAP_ID.fullmatch(value) is None:
            status, detail = "invalid_key", "bad_object_id"
        key = Key(key_type, fold(value)) if status == "ok" else None
        people = tuple(sorted(set(numbers)))
        return TruePerson(
            label, people, len(numbers), status, detail, key, value if status == "ok" else None
        )

    def _identity(self, user_id: str, clock_ms: int) -> str:
        """The first usable of `user_id_from`; of a property the latest value by event time."""
        values = [
            (starts_ms, value)
            for starts_ms, uploaded_ms, value in self._properties[user_id]
            if uploaded_ms < clock_ms
        ]
        for source in self._user_id_from:
            if source == "user_id":
                return user_id
            if source == "CleverTap_Identity" and values:
                return max(values)[1]
        return user_id

    def _clevertap_identity(self, number: int, at_ms: int) -> Iterator[str]:
        """What the property says at a time; at most one value."""
        step = 1 + sum(at_ms >= to_ms(clock) for clock in self._script.steps)
        said = [
            value
            for from_step, value in self._script.people[number].clevertap_identity
            if step >= from_step
        ]
        yield from said[-1:]

    def _rows_behind(self, cohort: Cohort, step: int) -> dict[Key, list[Member]]:
        key_of = {person.label: person.key for person in self.truth(cohort, step).persons}
        rows: defaultdict[Key, list[Member]] = defaultdict(list)
        for member in cohort.rows(step):
            label = self.person_of(member, step)
            key = key_of.get(label) if label is not None else None
            if key is not None:
                rows[key].append(member)
        return rows


def _why_removed(
    holders: Sequence[str | None], key_now: Mapping[str, Key | None]
) -> tuple[str, set[Key]]:
    """Reason of a removal, and the keys that replace it, by who holds its rows now (ID-23)."""
    members = [holder for holder in holders if holder is not None and holder in key_now]
    replaced_by = {key for holder in members if (key := key_now[holder]) is not None}
    if replaced_by:
        return "rekeyed", replaced_by
    if members:
        return "unsendable", set()
    if all(holder is None for holder in holders):
        return "person_gone", set()
    return "left_cohort", set()
