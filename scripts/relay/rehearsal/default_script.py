"""The default world, put together: people, what they do, and the cohorts that list them."""

from datetime import date

from relay.rehearsal.cast import Cast
from relay.rehearsal.memberships import CART, cohorts
from relay.rehearsal.script import Script
from relay.rehearsal.stories import history, visits


def default_script(
    *, people: int, days: int, events_per_person: int, seed: int, start: date
) -> Script:
    """The default world's script; see `World` for the arguments."""
    cast = Cast(people, days, seed, start)
    listed = cohorts(cast)
    cart = next(cohort for cohort in listed if cohort.cohort_id == CART)
    carts = [{member.person for member in rows} for rows in cart.steps]
    return Script(
        seed=seed,
        steps=cast.steps,
        people=cast.people,
        history=history(cast),
        visits=list(visits(cast, events_per_person, carts)),
        cohorts=listed,
    )
