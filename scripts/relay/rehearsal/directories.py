"""A destination's own users: what `relay load known-users` reads, and what MoEngage matches on.

A directory only grows from step to step. MoEngage's lists most known users with a device; of the
devices nobody signs in on some alone, some under a user id, some under two. It lists no device that
still changes hands, so that every match stays unambiguous (ID-19).
"""

import csv
import io
from collections.abc import Iterable

from relay.rehearsal.facts import Facts, fold
from relay.rehearsal.noise import noise

Directory = list[tuple[str, str]]
LATER = 99  # a step after all others


def moengage_directory(facts: Facts, step: int) -> Directory:
    """(uid, moe_anonymous_id) of MoEngage's users; either may be empty.

    Of the user ids at step 1 MoEngage knows five in six; from step 2 on eleven in twelve.
    """
    users = facts.user_ids(1)
    always = [user_id for user_id in users if _is_known(facts, user_id, 1)]
    rows = [(user_id, _own_device(facts, user_id))
            for user_id in users if _is_known(facts, user_id, step)]  # fmt: skip
    strangers = [user_id for user_id in users if not _is_known(facts, user_id, LATER)]
    for user_id in strangers[::4] if always else ():  # their device is another user's: `conflict`
        devices = facts.devices_of(user_id, 1)
        if len(devices) == 1 and facts.has_one_user(devices[0]):
            rows.append((_another(always, facts, user_id), devices[0]))
    for device in facts.anonymous_devices() if len(always) > 1 else ():
        kind = noise(facts.script.seed, *device.encode(), 91) % 10
        if kind < 4:
            rows.append(("", device))
        elif kind == 4:
            rows.append((_another(always, facts, device), device))
        elif kind == 5:
            first = _another(always, facts, device)
            second = next(user_id for user_id in always if user_id != first)
            rows += [(first, device), (second, device)]
    return rows


def clevertap_directory(facts: Facts, step: int) -> Directory:
    """(identity, objectId) of CleverTap's users; it keeps identities in lower case.

    Only a forecast (`existing_profile` or `creates_profile`) comes of it, never a key (ID-18).
    """
    known = [user_id for user_id in facts.user_ids(1) if _is_known(facts, user_id, step)]
    rows = [(fold(user_id), _own_device(facts, user_id)) for user_id in known]
    return rows + [("", device) for place, device in enumerate(facts.anonymous_devices())
                   if place % 3 == 0]  # fmt: skip


def directory_csv(header: tuple[str, str], rows: Iterable[tuple[str, str]]) -> bytes:
    """A directory as the CSV file with header that the loader takes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([header, *rows])
    return text.getvalue().encode()


def _is_known(facts: Facts, user_id: str, step: int) -> bool:
    kind = noise(facts.script.seed, *user_id.encode(), 92) % 12
    return kind >= 2 or (step > 1 and kind == 1)


def _own_device(facts: Facts, user_id: str) -> str:
    """The user's first device, for every other user, unless somebody else uses it, too."""
    devices = [device for device in facts.devices_of(user_id, 1) if facts.has_one_user(device)]
    return devices[0] if devices and noise(facts.script.seed, *user_id.encode(), 93) % 2 else ""


def _another(known: list[str], facts: Facts, about: str) -> str:
    return known[noise(facts.script.seed, *about.encode(), 94) % len(known)]
