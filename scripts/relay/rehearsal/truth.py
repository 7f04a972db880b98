"""Who is a member under which key, and what changes: worked out from the script.

Nothing here looks at exports or models: `facts` asks the script who is behind a row, `addressing`
applies a destination's rules to that.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relay.rehearsal.addressing import Addressing, Key, Status
from relay.rehearsal.facts import Facts
from relay.rehearsal.script import Cohort, Member


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


class TrueWorld:
    """Answers what a destination must come to, at each step.

    Args:
        facts: Of the world.
        addressing: The destination's.
    """

    def __init__(self, facts: Facts, addressing: Addressing) -> None:
        self._facts = facts
        self._addressing = addressing

    def truth(self, cohort: Cohort, step: int) -> Truth:
        """The members of a cohort at a step, and their keys."""
        by_label: defaultdict[str, list[int]] = defaultdict(list)
        unidentifiable = 0
        members = cohort.rows(step)
        for member in members:
            label = self._facts.person_of(member, step)
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
            holders = [self._facts.person_of(member, step) for member in behind_before[key]]
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

    def _person(self, label: str, numbers: list[int], step: int) -> TruePerson:
        address = self._addressing.address(label, step)
        return TruePerson(
            label=label,
            people=tuple(sorted(set(numbers))),
            rows=len(numbers),
            status=address.status,
            detail=address.detail,
            key=address.key,
            key_value=address.value,
        )

    def _rows_behind(self, cohort: Cohort, step: int) -> dict[Key, list[Member]]:
        key_of = {person.label: person.key for person in self.truth(cohort, step).persons}
        rows: defaultdict[Key, list[Member]] = defaultdict(list)
        for member in cohort.rows(step):
            label = self._facts.person_of(member, step)
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
