"""Which cohorts the default world has, and whom they list at each step."""

from collections.abc import Iterable, Sequence
from itertools import islice

from relay.rehearsal.cast import Cast
from relay.rehearsal.script import Cohort, Member

CART, LOYAL, WAITLIST = "1638361188", "k7w2m9xq", "9apg8e8f"
ARCHIVED, NEVER_COMPUTED = "2b5xq0vd", "p03zt6ha"
LOYAL_LEAST = 64  # above the guard's `min_members` at every step before the bad export


def cohorts(cast: Cast) -> list[Cohort]:
    """The cohorts of the default world, in the order of Amplitude's list.

    `1638361188` "Cart Drop off" has every story in it. `k7w2m9xq` "Loyal ☕ shoppers" loses most
    of its members at step 3, as a bad export would have it. `9apg8e8f` is small; one cohort is
    archived, one was never computed.
    """
    return [
        Cohort(CART, "Cart Drop off", _cart(cast), "Filled a cart and did not order"),
        Cohort(LOYAL, "Loyal ☕ shoppers", _loyal(cast), "Zwölf Bestellungen oder mehr"),
        Cohort(WAITLIST, "VIP waitlist", _waitlist(cast)),
        Cohort(ARCHIVED, "Winter sale 2025", (_of_users(cast, _pool(cast, "known")[:9]),),
               "Over", is_archived=True),
        Cohort(NEVER_COMPUTED, "New in town", ()),
    ]  # fmt: skip


def _pool(cast: Cast, role: str) -> list[int]:
    return cast.by_role.get(role, [])


def _of_users(cast: Cast, numbers: Iterable[int]) -> tuple[Member, ...]:
    return tuple(Member(number, user_id=cast.user_id(number)) for number in numbers)


def _of_devices(cast: Cast, numbers: Iterable[int], which: int = 0) -> tuple[Member, ...]:
    return tuple(Member(number, device_id=cast.device_id(number, which)) for number in numbers)


def _cart(cast: Cast) -> tuple[tuple[Member, ...], ...]:
    """About a fifth of the people; one in eight comes or goes between step 1 and step 2."""
    size = max(60, len(cast.people) // 5)
    few = max(2, size // 25)
    known, anonymous = iter(_pool(cast, "known")), iter(_pool(cast, "anonymous"))
    merged = _pool(cast, "merged_before")[:few]
    both, laptop_only = _split(_pool(cast, "merged_between"), few, few)
    signing_in = _pool(cast, "becomes_known")[: few + 2]
    single, respelt = _singles(cast)
    always = (
        *single,
        *_of_users(cast, merged), *_of_devices(cast, merged, 1),  # a merged-away row beside its own
        *_of_users(cast, both), *_of_devices(cast, both, 1),
        *_of_devices(cast, signing_in),
        *_of_users(cast, [*_pool(cast, "family")[:2], *_pool(cast, "kiosk")[:2]]),
    )  # fmt: skip
    rest = max(size - len(always) - len(laptop_only), 4 * few)
    stays = (
        *_of_users(cast, islice(known, rest * 2 // 3 - few)),
        *_of_devices(cast, islice(anonymous, rest // 3 - 2)),
    )
    leaves = (*_of_users(cast, islice(known, few)), *_of_devices(cast, islice(anonymous, 2)))
    enters = (*_of_users(cast, islice(known, few + 2)), *_of_devices(cast, islice(anonymous, 3)))
    last = _of_users(cast, islice(known, 3))
    twice = stays[:1]  # one row stands in the file twice, at every step
    first_laptops, later_laptops = laptop_only[: few // 2], laptop_only[few // 2 :]
    merged_now = (*_of_devices(cast, first_laptops, 1), *_of_users(cast, later_laptops))
    return (
        (*always, respelt[0], *stays, *twice, *leaves, *_of_devices(cast, laptop_only, 1)),
        (*always, respelt[1], *stays, *twice, *enters, *merged_now),
        (*always, respelt[0], *stays, *twice, *enters[2:], *merged_now, *last),
    )


def _singles(cast: Cast) -> tuple[tuple[Member, ...], tuple[Member, Member]]:
    """Rows of the roles that one person has; and the two rows that take turns."""
    twice, composed = cast.one("spelt_twice"), cast.one("decomposed")
    respelt = cast.one("respelt")
    rows = (
        *_of_users(cast, [cast.one(role) for role in ("undefined_first", "null_one")]),
        *_of_devices(
            cast, [cast.one(role) for role in ("unfit_device", "absent", "absent_until_step_2")]
        ),
        *_of_users(cast, [cast.one("absent_known"), cast.one("reidentified"), twice, composed]),
        Member(twice, user_id=cast.second_user_id(twice)),
        Member(composed, user_id=cast.second_user_id(composed)),
    )
    turns = (
        Member(respelt, user_id=cast.user_id(respelt)),
        Member(respelt, user_id=cast.second_user_id(respelt)),
    )
    return rows, turns


def _loyal(cast: Cast) -> tuple[tuple[Member, ...], ...]:
    """Known people, some found by an anonymous row; step 3 is an export gone wrong."""
    known = _pool(cast, "known")[::-1]
    size = max(LOYAL_LEAST, len(cast.people) // 6)
    few = max(2, size // 30)
    core, leaves, enters = _take(known, size, few, few + 1)
    always = (
        *_of_users(cast, core),
        *_of_devices(cast, _pool(cast, "becomes_known")[-3:]),
        *_of_users(cast, _pool(cast, "kiosk")[-2:]),
    )
    return (
        (*always, *_of_users(cast, leaves)),
        (*always, *_of_users(cast, enters)),
        always[: size // 6],
    )


def _waitlist(cast: Cast) -> tuple[tuple[Member, ...], ...]:
    known = _pool(cast, "known")
    stays, leaves, enters = _take(known[len(known) // 2 :], 5, 1, 2)
    return (_of_users(cast, [*stays, *leaves]), _of_users(cast, [*stays, *enters]))


def _split(numbers: Sequence[int], *counts: int) -> list[list[int]]:
    return _take(numbers, *counts)


def _take(numbers: Sequence[int], *counts: int) -> list[list[int]]:
    """Consecutive runs of the given lengths.

    Raises:
        ValueError: There are not enough numbers, so that the world would lack a story.
    """
    if sum(counts) > len(numbers):
        raise ValueError(f"{sum(counts)} people needed for a cohort, {len(numbers)} there")
    rest = iter(numbers)
    return [list(islice(rest, count)) for count in counts]
