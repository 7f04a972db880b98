"""Who is in the default world: roles, names, user ids and devices.

Each role is a story whose truth the identity rules settle without doubt; its comment names the
rules (R: Amplitude's own, of the order in which ids are given; ID: this project's). People who
never sign in have a device on which nobody else signs in, because Amplitude gives a shared device's
anonymous events to its last known user.
"""

from datetime import UTC, date, datetime, timedelta

from relay.rehearsal import people
from relay.rehearsal.noise import chance, noise
from relay.rehearsal.script import Person, to_ms

STEPS = 3
MIN_PEOPLE, MIN_DAYS = 160, 3
KIOSK = "KIOSK-0001-hall-B"
UNFIT_DEVICE = "iPad (Küche) #2"

# One person each, in this order.
SINGLE_ROLES = (
    # Sends `undefined` as user id, on one device: junk, so the device is the key (ID-4) …
    "undefined_first",
    # … until step 2 brings a second device: contaminated, the row names nobody (ID-5, ID-23).
    "undefined_second",
    # Three strangers who send `null`: contaminated from the start (ID-5).
    "null_one",
    "null_two",
    "null_three",
    # Anonymous on a device whose id CleverTap would refuse: `invalid_key` (ID-18).
    "unfit_device",
    # Anonymous, and no export has an event of theirs: `no_key` (ID-1).
    "absent",
    # The same, until they sign in before step 2: entered (ID-7, ID-23).
    "absent_until_step_2",
    # No events either, but the cohort's row has the user id: that is the key (ID-2, ID-18).
    "absent_known",
    # Two user ids that differ only in case; each step lists the other one: no change (ID-17).
    "respelt",
    # Two user ids that differ only in case, both listed: two persons, one key (ID-17, ID-18).
    "spelt_twice",
    # Gets another CleverTap_Identity between step 1 and step 2: rekeyed where the sync maps that
    # property, unchanged where it does not (ID-16, ID-23).
    "reidentified",
    # One user id composed and decomposed: two users for Amplitude, one person here (ID-3, ID-12).
    "decomposed",
)
# The rest: role, least number of people, share of the people in percent.
SHARED_ROLES = (
    # Two people on one tablet, each with a phone: R5, two Amplitude ids, nobody joined (ID-10).
    ("family", 4, 3),
    # Many people on one kiosk: a shared device joins nobody and is no key (ID-10).
    ("kiosk", 8, 2),
    # Known on a phone, anonymous on a laptop until they signed in there before step 1: R6, the
    # laptop's id is merged away (ID-9; without merged-id files ID-10 says the same).
    ("merged_before", 6, 4),
    # The same, with the sign-in between step 1 and step 2: two persons become one (ID-23).
    ("merged_between", 8, 4),
    # Anonymous until they sign in between step 1 and step 2: R3, the same Amplitude id (ID-23).
    ("becomes_known", 12, 6),
    # Never sign in: the device is the key (ID-18).
    ("anonymous", 24, 20),
)


class Cast:
    """The people of a default world, and the days they live through.

    Days count from 0. Step 1 comes after the days 0 to `days` - 2, step 2 after day `days` - 1,
    step 3 after day `days`. The shop sleeps from 18:40 to 01:00 UTC and a step's clock is 00:45,
    when the Export API serves everything uploaded before.

    Args:
        people_count: How many; at least `MIN_PEOPLE`, so that the guard has enough to guard.
        days: Days until step 2; at least `MIN_DAYS`.
        seed: Any whole number.
        start: Day 0, UTC.

    Raises:
        ValueError: Too few people or days.
    """

    def __init__(self, people_count: int, days: int, seed: int, start: date) -> None:
        if people_count < MIN_PEOPLE or days < MIN_DAYS:
            raise ValueError(
                f"the default world needs at least {MIN_PEOPLE} people and {MIN_DAYS} days, "
                f"not {people_count} and {days}"
            )
        self.seed = seed
        self.days = days
        midnight = datetime(start.year, start.month, start.day, tzinfo=UTC)
        self.start_ms = to_ms(midnight)
        self.steps = tuple(
            midnight + timedelta(days=days - 2 + step, minutes=45) for step in range(1, STEPS + 1)
        )
        self.roles = _roles(people_count)
        self.by_role: dict[str, list[int]] = {}
        for number, role in enumerate(self.roles):
            self.by_role.setdefault(role, []).append(number)
        self.people = [
            Person(number, people.full_name(seed, number), role, self._clevertap(number, role))
            for number, role in enumerate(self.roles)
        ]

    def one(self, role: str) -> int:
        """The person of a role that only one has."""
        return self.by_role[role][0]

    def user_id(self, number: int) -> str:
        """What the app sends when the person is signed in (the first spelling of two)."""
        role = self.roles[number]
        if role.startswith(("undefined", "null")):
            return role.split("_")[0]
        if role in ("respelt", "spelt_twice"):
            return f"Mira.Sol.{number}"
        if role == "decomposed":
            return f"Ren\u00e9e.No\u00ebl.{number}"
        return people.user_id(self.seed, number, self.people[number].name)

    def second_user_id(self, number: int) -> str:
        """The other spelling of a person with two."""
        if self.roles[number] == "decomposed":
            return f"Rene\u0301e.Noe\u0308l.{number}"
        return self.user_id(number).lower()

    def device_id(self, number: int, which: int = 0) -> str:
        """The person's first or second device; the second of a family is their tablet."""
        role = self.roles[number]
        if role == "unfit_device":
            return UNFIT_DEVICE
        if role == "kiosk" and which == 1:
            return KIOSK
        if role == "family" and which == 1:
            place_in_family = (number - self.by_role["family"][0]) % 2
            return people.device_id(self.seed, number - place_in_family, 1)
        return people.device_id(self.seed, number, which)

    def step_of_day(self, day: int) -> int:
        """The first step that comes after a day."""
        return max(1, day - self.days + 3)

    def _clevertap(self, number: int, role: str) -> tuple[tuple[int, str], ...]:
        """Some known people have an identity of CleverTap's own; a few of those get another one."""
        first, second = (1, f"CT-{number:06d}"), (2, f"CT-{number:06d}-b")
        if role == "reidentified":
            return (first, second)
        if role != "known" or not chance(6, self.seed, number, 71):
            return ()
        return (first, second) if noise(self.seed, number, 72) % 4 == 0 else (first,)


def _roles(people_count: int) -> list[str]:
    roles = list(SINGLE_ROLES)
    for role, least, percent in SHARED_ROLES:
        count = max(least, people_count * percent // 100)
        roles += [role] * (count + (count % 2 if role == "family" else 0))
    return roles + ["known"] * (people_count - len(roles))
