"""What the people of the default world do: where they are, as whom, and when.

Every visit fits its person's role, and its ending fits the cart cohort: members left a filled
cart, those who leave the cohort ordered.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from relay.rehearsal import people
from relay.rehearsal.cast import Cast
from relay.rehearsal.noise import between, chance, pick
from relay.rehearsal.script import DAY_MS, HOUR_MS, Seen, Visit

MINUTE_MS = 60_000
OPENS_MS = HOUR_MS + 5 * MINUTE_MS  # the day's first visit begins at 01:05 at the earliest
OPEN_MS = 16 * HOUR_MS + 50 * MINUTE_MS  # and the last one at 17:55 at the latest
UPLOAD_LAG_MS = 1_200
LATE_PERCENT = 5
ODD_TIME_EVERY = 13  # people
ODD_TIMES: tuple[Literal["past", "future", "missing"], ...] = ("past", "future", "missing")


@dataclass(frozen=True, slots=True)
class _Stay:
    """A device somebody uses from a day on; before the day of the sign-in they are anonymous."""

    device_id: str
    user_id: str | None
    first_day: int = 0
    sign_in_day: int | None = None


def history(cast: Cast) -> list[Seen]:
    """What Amplitude knew of before the exports begin."""
    absent = [cast.one("absent"), cast.one("absent_until_step_2")]
    known = cast.one("absent_known")
    return [Seen(cast.device_id(number)) for number in absent] + [
        Seen(cast.device_id(known), cast.user_id(known))
    ]


def visits(cast: Cast, events_per_person: int, carts: Sequence[Collection[int]]) -> Iterator[Visit]:
    """Everybody's visits.

    Args:
        cast: The people.
        events_per_person: Aimed at on average; roles with two devices have some more.
        carts: Per step the numbers of the people in the cart cohort.

    Yields:
        Person by person. Each device is visited before step 1 (unless its story begins later), so
        that Amplitude knows it when a cohort lists it, and on the day of its sign-in.
    """
    size = max(1, min(5, events_per_person), min(20, events_per_person // 8))
    for number in range(len(cast.people)):
        stays = _stays(cast, number)
        counter = 0
        for place, stay in enumerate(stays):
            count = max(1, round(events_per_person / size / len(stays)))
            days = _days(cast, number, place, stay, count)
            for nth, day in enumerate(days):
                same_day = days.count(day)
                slot = nth - days.index(day)
                visit = _visit(cast, number, counter, stay, day, (slot, same_day), size)
                visit = replace(visit, ending=_ending(cast, number, counter, day, carts))
                counter += 1
                yield visit
                if visit.ending == "order" and cast.roles[number] == "known":
                    yield _shipping(cast.seed, visit, counter)
                    counter += 1


def _stays(cast: Cast, number: int) -> list[_Stay]:
    role, user = cast.roles[number], cast.user_id(number)
    first, second = cast.device_id(number), cast.device_id(number, 1)
    before_step_1, between_steps = cast.days - 2, cast.days - 1
    match role:
        case "absent" | "absent_known":
            return []
        case "absent_until_step_2" | "undefined_second":
            return [_Stay(first, user, first_day=between_steps)]
        case "anonymous" | "unfit_device":
            return [_Stay(first, None)]
        case "respelt" | "spelt_twice" | "decomposed":
            return [_Stay(first, user), _Stay(second, cast.second_user_id(number))]
        case "reidentified":
            return [_Stay(first, user), _Stay(first, user, first_day=between_steps)]
        case "becomes_known":
            return [_Stay(first, user, sign_in_day=between_steps)]
        case "merged_before":
            day = between(1, before_step_1, cast.seed, number, 73)
            return [_Stay(first, user), _Stay(second, user, sign_in_day=day)]
        case "merged_between":
            return [_Stay(first, user), _Stay(second, user, sign_in_day=between_steps)]
        case "family" | "kiosk":
            return [_Stay(first, user), _Stay(second, user)]
        case "known" if chance(25, cast.seed, number, 74):
            return [_Stay(first, user, sign_in_day=0)]  # R3 on the first visit
        case "known" if chance(20, cast.seed, number, 75):
            return [_Stay(first, user), _Stay(second, user)]
        case _:
            return [_Stay(first, user)]


def _days(cast: Cast, number: int, place: int, stay: _Stay, count: int) -> list[int]:
    """Days of the visits of a stay, in order, a day as often as there are visits on it."""
    days = [stay.first_day]
    if stay.sign_in_day is not None and stay.sign_in_day != stay.first_day:
        days.append(stay.sign_in_day)
    while len(days) < count:
        days.append(between(stay.first_day, cast.days, cast.seed, number, place, len(days), 76))
    return sorted(days)


def _visit(
    cast: Cast,
    number: int,
    counter: int,
    stay: _Stay,
    day: int,
    slot_of_day: tuple[int, int],
    size: int,
) -> Visit:
    """One visit; those of a stay on one day share out the day's open hours, in order."""
    key = (cast.seed, number, counter)
    slot, slots = slot_of_day
    width = OPEN_MS // slots
    free = max(width - 40 * MINUTE_MS, width // 2) if slots > 1 else width
    starts = cast.start_ms + day * DAY_MS + OPENS_MS + slot * width + between(0, free, *key, 77)
    events = between(max(1, size - 2), size + 2, *key, 78)
    user_id, anonymous = stay.user_id, 0
    if stay.sign_in_day is not None and day < stay.sign_in_day:
        user_id = None
    elif stay.sign_in_day == day and slot == 0:
        events = max(events, 3)
        anonymous = between(1, events - 2, *key, 79)
    elif cast.roles[number] == "family" and counter and events > 1 and chance(30, *key, 80):
        anonymous = 1  # the tablet before somebody signs in again: R5, its last user's Amplitude id
    visit = Visit(
        number, counter, stay.device_id, user_id, starts, starts + UPLOAD_LAG_MS, events, anonymous
    )
    return visit if anonymous or not counter else _with_device_trouble(cast, visit)


def _with_device_trouble(cast: Cast, visit: Visit) -> Visit:
    """Make a visit of a person with a plain story late, or its clock wrong; most stay as they are.

    Only where no rule asks when it was: the person is known throughout, or never.
    """
    person = cast.people[visit.person]
    key = (cast.seed, visit.person, visit.number)
    is_plain = person.role == "known" and not person.clevertap_identity
    if is_plain and visit.number == 1 and person.number % ODD_TIME_EVERY == 0:
        odd = ODD_TIMES[person.number // ODD_TIME_EVERY % len(ODD_TIMES)]
        return replace(visit, odd_time=odd)
    if person.role in ("known", "anonymous") and chance(LATE_PERCENT, *key, 81):
        offline = between(1, 9, *key, 82) * DAY_MS
        return replace(visit, starts_ms=visit.starts_ms - offline)
    return visit


def _ending(
    cast: Cast, number: int, counter: int, day: int, carts: Sequence[Collection[int]]
) -> Literal["browse", "cart", "order"]:
    step = cast.step_of_day(day)
    if number in carts[step - 1]:
        return "cart"
    if step > 1 and number in carts[step - 2]:
        return "order"
    return pick(("browse", "browse", "browse", "order"), cast.seed, number, counter, 85)


def _shipping(seed: int, order: Visit, counter: int) -> Visit:
    """The shop's own server reports the parcel; it names the user and no device."""
    user_id = order.user_id or ""
    delay = between(15, 35, seed, order.person, counter, 86) * MINUTE_MS
    at_ms = order.uploaded_ms + delay
    return Visit(
        order.person,
        counter,
        people.server_device_id(seed, user_id),
        user_id,
        at_ms,
        at_ms + UPLOAD_LAG_MS,
        1,
        is_server_side=True,
    )
