"""What a made-up world is told to do: people, visits and cohorts, before any export exists.

A script names things as the generator knows them (this person, that device); Amplitude ids are
not in it, they follow from the order of arrival. The truth is computed from the script alone.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in the shop.

    Attributes:
        number: From 0; with the seed it decides everything not said here.
        name: Given and family name, any alphabet.
        role: The story `casting` gave them; a word for people, nothing depends on it.
        clevertap_identity: What the app writes into the user property `CleverTap_Identity` of
            their signed-in events, by the step from which on it does: ((1, "A"), (2, "B")).
    """

    number: int
    name: str
    role: str
    clevertap_identity: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Visit:
    """A run of events of one person on one device.

    Attributes:
        person: Number of the person.
        number: Counts the person's visits; with `person` it names the visit.
        device_id: Where it happens.
        user_id: What the app sends once the person is signed in; None: they stay anonymous.
        starts_ms: Time of the first event, epoch milliseconds UTC.
        uploaded_ms: When the first event reaches Amplitude; days later for an offline device.
        events: How many events.
        anonymous_events: How many of them come first, without a user id.
        ending: Whether it ends in looking around, a filled cart or an order.
        is_server_side: Sent by the shop's own server: no session, no device details.
        odd_time: What is wrong with the device's clock, if anything.
    """

    person: int
    number: int
    device_id: str
    user_id: str | None
    starts_ms: int
    uploaded_ms: int
    events: int
    anonymous_events: int = 0
    ending: Literal["browse", "cart", "order"] = "browse"
    is_server_side: bool = False
    odd_time: Literal["", "past", "future", "missing"] = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """A device, and perhaps a user on it, that Amplitude knows from before the first export."""

    device_id: str
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A row of a cohort's file, in the generator's words.

    Attributes:
        person: Number of the person the row is about.
        user_id: The row of the Amplitude id of this user id; or
        device_id: the row of the first Amplitude id that this device had. It stays in the file
            after that id was merged away (whether Amplitude does so is UNVERIFIED; both must work).
    """

    person: int
    user_id: str | None = None
    device_id: str | None = None

    def __post_init__(self) -> None:
        if (self.user_id is None) == (self.device_id is None):
            raise ValueError(f"member {self.person}: give a user id or a device id, one of them")


@dataclass(frozen=True, slots=True)
class Cohort:
    """A cohort and its rows at each step.

    Attributes:
        cohort_id: Amplitude's id of it.
        name: Its name; any text.
        steps: Rows at step 1, 2, …; empty for a cohort that was never computed.
        description: Text for people, or None.
        is_archived: Archived cohorts are listed, too; theirs is not computed again.
    """

    cohort_id: str
    name: str
    steps: tuple[tuple[Member, ...], ...]
    description: str | None = None
    is_archived: bool = False

    @property
    def is_computed(self) -> bool:
        """Whether Amplitude ever computed it: `size` and `lastComputed` are null otherwise."""
        return bool(self.steps)

    def rows(self, step: int) -> tuple[Member, ...]:
        """Rows at a step; an archived or a calm cohort keeps those of its last step."""
        return self.steps[min(step, len(self.steps)) - 1] if self.steps else ()


@dataclass(frozen=True)
class Script:
    """A whole world before it happens.

    Attributes:
        seed: Decides everything that is not said.
        steps: The clock at step 1, 2, …: whole seconds, UTC. Visits uploaded before it have
            happened, and all of them are old enough for the Export API to serve them.
        people: By number.
        history: What Amplitude knew before, oldest first.
        visits: In any order.
        cohorts: As the cohort list gives them.

    Raises:
        ValueError: Two visits of a person have one number, so that their events would be equal.
    """

    seed: int
    steps: tuple[datetime, ...]
    people: Sequence[Person]
    history: Sequence[Seen]
    visits: Sequence[Visit]
    cohorts: Sequence[Cohort]

    def __post_init__(self) -> None:
        named = Counter((visit.person, visit.number) for visit in self.visits)
        twice = [f"person {person}, number {number}" for (person, number), count in named.items()
                 if count > 1]  # fmt: skip
        if twice:
            raise ValueError(f"visits with one name: {'; '.join(twice[:5])}")

    def clock(self, step: int) -> datetime:
        """The time of a step.

        Raises:
            ValueError: There is no such step.
        """
        if not 1 <= step <= len(self.steps):
            raise ValueError(f"step {step}: this world has the steps 1 to {len(self.steps)}")
        return self.steps[step - 1]

    def computed_at(self, cohort: Cohort, step: int) -> datetime:
        """When the rows of a step were computed: 40 minutes before its clock, to the second."""
        if cohort.is_archived:
            return self.steps[0] - timedelta(days=97, minutes=11)
        return self.clock(step) - timedelta(minutes=40, seconds=len(cohort.cohort_id))


def at_ms(moment_ms: int) -> datetime:
    """Epoch milliseconds as a time in UTC."""
    return datetime.fromtimestamp(moment_ms / 1000, tz=UTC)


def to_ms(moment: datetime) -> int:
    """A time with a zone as epoch milliseconds."""
    return round(moment.timestamp() * 1000)
