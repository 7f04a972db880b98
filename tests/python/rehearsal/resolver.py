"""The identity rules over export rows, written plainly: what the truth is held against.

This reads what a loader would read (rows of 55 keys, cohort files, merged ids) and knows nothing of
scripts. It is the textbook form of the rules ID-3 to ID-18 for one project, without overrides,
suppression and user-property keys.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from relay.rehearsal.addressing import CLEVERTAP_ID, Key
from relay.rehearsal.amplitude_ids import Merge
from relay.rehearsal.facts import fold

JUNK = {"null", "undefined", "none", "nil", "unknown", "anonymous", "na", "n/a", "0", "-1", "{}"}
LAST = "~"  # sorts after every time: a row without a readable time comes last
MAX_USERS_PER_DEVICE = 5

Row = tuple[str, int | None, str | None, str | None, bool]
"""time, amplitude id, usable user id, device, whether the user id was junk"""


def usable(value: str | None) -> str | None:
    """A cleaned identifier; None where it is missing or junk."""
    text = unicodedata.normalize("NFC", value or "").strip()
    return text if text and fold(text) not in JUNK else None


def evidence(
    events: Iterable[dict[str, Any]], snapshots: Iterable[tuple[str, Sequence[tuple[str, str]]]]
) -> list[Row]:
    """Rows of the exports (one per uuid) and of all cohort files so far, by time."""
    by_uuid = {row["uuid"]: row for row in events}
    rows: list[Row] = [
        (
            row["event_time"] or LAST,
            int(row["amplitude_id"]),
            usable(row["user_id"]),
            usable(row["device_id"]),
            bool(row["user_id"]) and usable(row["user_id"]) is None,
        )
        for row in by_uuid.values()
    ]
    for computed_at, members in snapshots:
        rows += [
            (computed_at, int(amplitude_id), usable(user), None, bool(user) and not usable(user))
            for amplitude_id, user in members
        ]
    return sorted(rows, key=lambda row: (row[0], row[1] or 0, row[2] or "", row[3] or ""))


class Resolver:
    """Persons of a set of rows and merges; a person is the end of its identifiers' chains."""

    def __init__(self, rows: Sequence[Row], merges: Iterable[Merge]) -> None:
        self.contaminated = _contaminated(rows)
        self.rows = [
            (time, None if amplitude_id in self.contaminated else amplitude_id, user, device)
            for time, amplitude_id, user, device, _ in rows
        ]
        self.follows: dict[str, str] = {}
        users_on: defaultdict[str, set[str]] = defaultdict(set)
        for _, _, user, device in self.rows:
            if user and device:
                users_on[device].add(user)
        self.shared = {device for device, on in users_on.items() if len(on) > MAX_USERS_PER_DEVICE}
        self._observe()
        for merge in sorted(merges, key=lambda merge: (merge.event_ms, merge.merged_amplitude_id)):
            pair = {merge.amplitude_id, merge.merged_amplitude_id}
            if not pair & self.contaminated and len(pair) == 2:
                left, right = f"amp:{merge.amplitude_id}", f"amp:{merge.merged_amplitude_id}"
                self.follows.setdefault(left, right)
        self._link_devices()

    def person(self, identifier: str) -> str:
        """Where the chain of an identifier ends."""
        while identifier in self.follows:
            identifier = self.follows[identifier]
        return identifier

    def person_of(self, amplitude_id: str, user_id: str) -> str | None:
        """The person of a cohort row; None where it names nobody."""
        user, number = usable(user_id), int(amplitude_id)
        if user is None and number in self.contaminated:
            return None
        return self.person(f"user:{user}" if user else f"amp:{number}")

    def clevertap(self, person: str) -> Key | str:
        """The key of a person (ID-18); a status where there is none."""
        if person.startswith("user:"):
            return Key("identity", fold(person.removeprefix("user:")))
        devices = self._devices_of(person)
        fit = [device for device in devices if CLEVERTAP_ID.fullmatch(device)]
        if fit:
            return Key("object_id", fold(fit[0]))
        return "invalid_key" if devices else "no_key"

    def moengage(self, person: str, directory: Iterable[tuple[str, str]]) -> Key | str:
        """The key of a person by MoEngage's directory (ID-19); a status where there is none."""
        rows = list(directory)
        user = person.removeprefix("user:") if person.startswith("user:") else None
        if user and any(uid == user for uid, _ in rows):
            return Key("user_id", user)
        devices = self._devices_of(person)
        uids = {uid for uid, device in rows if device in devices and uid}
        if user is None and len(uids) == 1:
            return Key("user_id", uids.pop())
        return "unmatched" if user or devices else "no_key"

    def lytics(self, person: str) -> Key | str:
        """The key of a person: its canonical Amplitude id (ID-12, ID-20)."""
        if person.startswith("amp:"):
            return Key("amplitude_id", person.removeprefix("amp:"))
        own = [int(left[4:]) for left, right in self.observed.items() if right == person]
        return Key("amplitude_id", str(min(own))) if own else "no_key"

    def _observe(self) -> None:
        for _, amplitude_id, user, _ in self.rows:
            if amplitude_id and user:
                self.follows.setdefault(f"amp:{amplitude_id}", f"user:{user}")
        self.observed = dict(self.follows)

    def _link_devices(self) -> None:
        first_anonymous: dict[tuple[str, str], str] = {}
        known: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        for time, amplitude_id, user, device in self.rows:
            if device is None or device in self.shared:
                continue
            if user:
                known[device].append((time, user))
            else:
                anonymous = f"amp:{amplitude_id}" if amplitude_id else f"dev:{device}"
                if anonymous not in self.follows:
                    first_anonymous.setdefault((anonymous, device), time)
        found: defaultdict[str, list[tuple[str, str, str]]] = defaultdict(list)
        for (anonymous, device), since in first_anonymous.items():
            later = [(time, user) for time, user in known[device] if time >= since]
            if later:
                found[anonymous].append((*min(later), device))
        for anonymous, links in found.items():
            self.follows[anonymous] = f"user:{min(links)[1]}"

    def _person_of_row(self, row: tuple[str, int | None, str | None, str | None]) -> str:
        _, amplitude_id, user, device = row
        if user:
            return self.person(f"user:{user}")
        return self.person(f"amp:{amplitude_id}" if amplitude_id else f"dev:{device}")

    @cached_property
    def _devices(self) -> dict[str, dict[str, str]]:
        """Person -> device -> when last seen there."""
        last_seen: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for row in self.rows:
            time, _, _, device = row
            if device is not None:
                seen = last_seen[self._person_of_row(row)]
                seen[device] = max("" if time == LAST else time, seen.get(device, ""))
        return last_seen

    @cached_property
    def _owners(self) -> dict[str, str]:
        return {row[3]: self._person_of_row(row) for row in self.rows if row[2] and row[3]}

    def _devices_of(self, person: str) -> list[str]:
        last_seen = self._devices.get(person, {})
        mine = [
            device
            for device in last_seen
            if device not in self.shared and self._owners.get(device, person) == person
        ]
        return sorted(mine, key=lambda device: (last_seen[device], device), reverse=True)


def _contaminated(rows: Iterable[Row]) -> set[int]:
    junk: set[int] = set()
    known: set[int] = set()
    devices: defaultdict[int, set[str]] = defaultdict(set)
    for _, amplitude_id, user, device, is_junk in rows:
        if amplitude_id is None:
            continue
        if is_junk:
            junk.add(amplitude_id)
        if user:
            known.add(amplitude_id)
        if device:
            devices[amplitude_id].add(device)
    return {number for number in junk - known if len(devices[number]) > 1}
