"""What a script says about who is who, without Amplitude ids, exports or models.

It covers what scripts are allowed to contain:

* a device that a cohort lists is used by one person; the first user who signs in on it after it
  was anonymous is that person (R3, R6, ID-9, ID-10);
* an anonymous member has one device, so "latest seen" never has to choose (ID-16);
* a user id is usable, or one of the junk words below, and then its Amplitude id never also has a
  usable one (ID-4, ID-5).

A person is named by what is known of them: `user:Ann`, or `device:ipad-7` while nobody signed in.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterator

from relay.rehearsal.script import Member, Script, to_ms

JUNK_USER_IDS = frozenset({"null", "undefined"})


def clean(value: str) -> str:
    """A text identifier as the rules compare it: NFC, no blanks around it (ID-3)."""
    return unicodedata.normalize("NFC", value).strip()


def fold(value: str) -> str:
    """One code point to one, lower case: what DuckDB's `lower()` does (ID-3)."""
    return "".join(low if len(low := letter.lower()) == 1 else letter for letter in value)


class Facts:
    """Answers who is behind a row, and what the exports show of them, at each step.

    Args:
        script: The world.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
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

    def person_of(self, member: Member, step: int) -> str | None:
        """Name of the person that a row is about, as far as the data can tell at a step.

        None where the row names nobody: the junk user id of several devices has made one
        Amplitude id of strangers (ID-5).
        """
        clock_ms = self._clock_ms(step)
        if member.device_id is not None:
            users = [who for at, who in self._sign_ins.get(member.device_id, ()) if at < clock_ms]
            return f"user:{users[0]}" if users else f"device:{member.device_id}"
        user_id = clean(member.user_id or "")
        if fold(user_id) not in JUNK_USER_IDS:
            return f"user:{user_id}"
        devices = self.devices_of(user_id, step)
        return f"device:{devices[0]}" if len(devices) == 1 else None

    def devices_of(self, user_id: str, step: int) -> list[str]:
        """Devices on which the exports show a cleaned user id, first seen first."""
        clock_ms = self._clock_ms(step)
        seen = (device for at, device in self._devices_of.get(user_id, ()) if at < clock_ms)
        return list(dict.fromkeys(seen))

    def is_exported(self, device_id: str, step: int) -> bool:
        """Whether any event on the device has been uploaded since the exports began."""
        clock_ms = self._clock_ms(step)
        return self._first_seen.get(device_id, clock_ms) < clock_ms

    def user_ids(self, step: int) -> list[str]:
        """Usable user ids that the exports show or that Amplitude knew before, in that order."""
        clock_ms = self._clock_ms(step)
        shown = [user_id for user_id, seen in self._devices_of.items() if seen[0][0] < clock_ms]
        known = [clean(seen.user_id) for seen in self.script.history if seen.user_id]
        both = dict.fromkeys(shown + known)
        return [user_id for user_id in both if fold(user_id) not in JUNK_USER_IDS]

    def has_one_user(self, device_id: str) -> bool:
        """Whether exactly one user id is ever seen on the device, at any step."""
        return len({user_id for _, user_id in self._sign_ins.get(device_id, ())}) == 1

    def anonymous_devices(self) -> list[str]:
        """Devices on which nobody signs in at any step, first seen first."""
        return [device for device in self._first_seen if not self._sign_ins.get(device)]

    def clevertap_identity(self, user_id: str, step: int) -> str | None:
        """The latest `CleverTap_Identity` by event time among the user's events (ID-16)."""
        clock_ms = self._clock_ms(step)
        said = [
            (starts_ms, value)
            for starts_ms, uploaded_ms, value in self._properties.get(user_id, ())
            if uploaded_ms < clock_ms
        ]
        return max(said)[1] if said else None

    def _clevertap_identity(self, number: int, at_ms: int) -> Iterator[str]:
        """What the property says at a time; at most one value."""
        step = 1 + sum(at_ms >= to_ms(clock) for clock in self.script.steps)
        said = [
            value
            for from_step, value in self.script.people[number].clevertap_identity
            if step >= from_step
        ]
        yield from said[-1:]

    def _clock_ms(self, step: int) -> int:
        return to_ms(self.script.clock(step))
