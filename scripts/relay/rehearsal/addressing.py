"""Under which key each destination is told about a person, from facts alone."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from relay.rehearsal.amplitude_ids import AmplitudeIds
from relay.rehearsal.facts import Facts, clean, fold

CLEVERTAP_ID = re.compile(r"[A-Za-z0-9()!:@$_=|<>;+.\-]{1,64}")

KeyType = Literal["identity", "object_id", "user_id", "amplitude_id"]
Status = Literal["ok", "no_key", "invalid_key", "unmatched"]


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """A key as its destination compares it."""

    key_type: KeyType
    match_key: str

    def __str__(self) -> str:
        return f"{self.key_type}:{self.match_key}"


@dataclass(frozen=True, slots=True)
class Address:
    """What a person offers a destination.

    Attributes:
        status: `ok`, or why there is no key.
        detail: The reason in the identity rules' word; empty for `ok`.
        key: The key, for `ok`.
        value: Its spelling, for `ok`.
    """

    status: Status
    detail: str = ""
    key: Key | None = None
    value: str | None = None


class Addressing(Protocol):
    """A destination's way of addressing people."""

    def address(self, person: str, step: int) -> Address:
        """The address of a person, named as `Facts.person_of` does, at a step."""


class ClevertapAddressing:
    """Identity, else the device as object id (ID-18); compared in lower case.

    Args:
        facts: Of the world.
        user_id_from: Where the identity comes from, as in a sync: `user_id`, or
            `CleverTap_Identity` and then `user_id`; the first that is there (ID-16).

    Raises:
        ValueError: The list does not end with `user_id`. A known person without any of its sources
            is addressed by the device seen last, which facts do not tell.
    """

    def __init__(self, facts: Facts, user_id_from: Sequence[str] = ("user_id",)) -> None:
        self._facts = facts
        self._user_id_from = tuple(user_id_from)
        if self._user_id_from[-1:] != ("user_id",):
            raise ValueError(f"user_id_from {self._user_id_from}: must end with user_id")

    def address(self, person: str, step: int) -> Address:
        """Never `unmatched`: CleverTap makes a profile of whom it does not know."""
        kind, _, value = person.partition(":")
        if kind == "device":
            return self._device(value, step)
        for source in self._user_id_from:
            said = value if source == "user_id" else self._facts.clevertap_identity(value, step)
            if said is not None:
                value = said
                break
        return Address("ok", "", Key("identity", fold(value)), value)

    def _device(self, device: str, step: int) -> Address:
        if not self._facts.is_exported(device, step):
            return Address("no_key", "no_identifier")
        if CLEVERTAP_ID.fullmatch(device) is None:
            return Address("invalid_key", "bad_object_id")
        return Address("ok", "", Key("object_id", fold(device)), device)


class MoengageAddressing:
    """Whom MoEngage's directory knows, by user id, else by anonymous id (ID-19).

    `anonymous_keys` is `report`: an anonymous id without a user id is no key.

    Args:
        facts: Of the world.
        directory_at: MoEngage's users at a step: (uid, moe_anonymous_id), either may be empty.
    """

    def __init__(
        self, facts: Facts, directory_at: Callable[[int], Sequence[tuple[str, str]]]
    ) -> None:
        self._facts = facts
        self._directory_at = directory_at
        self._by_step: dict[int, tuple[set[str], Mapping[str, set[str]]]] = {}

    def address(self, person: str, step: int) -> Address:
        """Compared exactly, case included."""
        uids, by_device = self._directory(step)
        kind, _, value = person.partition(":")
        if kind == "user":
            if value in uids:
                return Address("ok", "", Key("user_id", value), value)
            devices = self._facts.devices_of(value, step)
        elif self._facts.is_exported(value, step):
            devices = [value]
        else:
            return Address("no_key", "no_identifier")
        listed = [by_device[device] for device in devices if device in by_device]
        if not listed:
            return Address("unmatched", "unknown_user")
        found = sorted(set().union(*listed))
        if kind == "device" and len(found) == 1:
            return Address("ok", "", Key("user_id", found[0]), found[0])
        if not found:
            return Address("unmatched", "anonymous_only")
        return Address("unmatched", "conflict" if len(found) == 1 else "ambiguous")

    def _directory(self, step: int) -> tuple[set[str], Mapping[str, set[str]]]:
        if step not in self._by_step:
            uids: set[str] = set()
            by_device: defaultdict[str, set[str]] = defaultdict(set)
            for uid, device in self._directory_at(step):
                uids |= {uid} - {""}
                if device:
                    by_device[device] |= {uid} - {""}
            self._by_step[step] = uids, dict(by_device)
        return self._by_step[step]


class LyticsAddressing:
    """The canonical Amplitude id (ID-12, ID-20): of a user the smallest, of a device its only one.

    Args:
        ids_at: Gives what Amplitude has handed out up to a step.
    """

    def __init__(self, ids_at: Callable[[int], AmplitudeIds]) -> None:
        self._ids_at = ids_at
        self._by_step: dict[int, dict[str, int]] = {}

    def address(self, person: str, step: int) -> Address:
        """Everybody has one: a row of a cohort names an Amplitude id."""
        kind, _, value = person.partition(":")
        if kind == "device":
            number = self._ids_at(step).first_of_device[value]
        else:
            number = self._users(step)[value]
        return Address("ok", "", Key("amplitude_id", str(number)), str(number))

    def _users(self, step: int) -> dict[str, int]:
        """The smallest Amplitude id of each user, two spellings of one cleaned id together."""
        if step not in self._by_step:
            smallest: dict[str, int] = {}
            for user_id, number in self._ids_at(step).of_user.items():
                user_id = clean(user_id)
                smallest[user_id] = min(number, smallest.get(user_id, number))
            self._by_step[step] = smallest
        return self._by_step[step]
