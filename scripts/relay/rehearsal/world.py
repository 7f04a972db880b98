"""A made-up world: its exports, cohorts and merged ids at each step, and the truth about them.

`World(people=400, seed=7).at(1)` is the world at its first step: `hours()` is what the Export API
has, `cohorts()` what the Behavioral Cohorts API has, and `truth("1638361188").keys` what a sync of
that cohort to CleverTap must come to.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from itertools import groupby
from typing import Any

from relay.rehearsal.amplitude_ids import AmplitudeIds, Merge
from relay.rehearsal.archives import (
    ExportHour,
    cohort_csv,
    export_archive,
    merge_file,
    merge_file_name,
)
from relay.rehearsal.arrivals import hourly_arrivals
from relay.rehearsal.cast import Cast
from relay.rehearsal.memberships import CART, cohorts
from relay.rehearsal.rows import RowWriter, row_line
from relay.rehearsal.script import HOUR_MS, Cohort, Script, at_ms, to_ms
from relay.rehearsal.stories import history, visits
from relay.rehearsal.truth import TrueDiff, TrueWorld, Truth

PROJECT = 829528
ORGANISATION = 36958
START = date(2026, 6, 15)

HourOfRows = tuple[datetime, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class CohortAtStep:
    """What Amplitude has of one cohort at a step.

    Attributes:
        cohort_id: Its id.
        name: Its name.
        computed_at: `lastComputed`, UTC to the second; None while it was never computed.
        listing: The entry of `GET /api/3/cohorts`; times in it are epoch seconds.
        rows: (amplitude_id, user_id) as text, in the file's order; user_id empty if anonymous.
    """

    cohort_id: str
    name: str
    computed_at: datetime | None
    listing: dict[str, Any]
    rows: tuple[tuple[str, str], ...]

    @property
    def csv(self) -> bytes:
        """The file of a finished download request."""
        return cohort_csv(self.rows, ("amplitude_id", "user_id"))


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


class World:
    """A world of a given size, the same for the same arguments.

    Args:
        people: How many people; 160 or more.
        days: Days until step 2, 3 or more; step 1 is a day before, step 3 a day after.
        events_per_person: Aimed at on average.
        seed: Any whole number.
        start: Day 0.
        project: Amplitude's project id.
        organisation: Amplitude's organisation id.
        script: A script of your own instead; the sizes are ignored then.

    Raises:
        ValueError: The sizes are too small for the stories.
    """

    def __init__(
        self,
        *,
        people: int = 400,
        days: int = 4,
        events_per_person: int = 16,
        seed: int = 7,
        start: date = START,
        project: int = PROJECT,
        organisation: int = ORGANISATION,
        script: Script | None = None,
    ) -> None:
        self.project = project
        self.organisation = organisation
        self.script = script or default_script(
            people=people, days=days, events_per_person=events_per_person, seed=seed, start=start
        )
        self._truths: dict[tuple[str, ...], TrueWorld] = {}

    def at(self, step: int) -> "Moment":
        """The world at a step, from 1.

        Raises:
            ValueError: There is no such step.
        """
        return Moment(self, step)

    def cohort(self, cohort_id: str) -> Cohort:
        """A cohort of the script.

        Raises:
            KeyError: There is none of that id.
        """
        for cohort in self.script.cohorts:
            if cohort.cohort_id == cohort_id:
                return cohort
        raise KeyError(cohort_id)

    def truths(self, user_id_from: Sequence[str] = ("user_id",)) -> TrueWorld:
        """What is true at each step, for syncs that take their identity from these sources."""
        sources = tuple(user_id_from)
        if sources not in self._truths:
            self._truths[sources] = TrueWorld(self.script, sources)
        return self._truths[sources]

    @cached_property
    def row_writer(self) -> RowWriter:
        """Makes this world's export rows."""
        clocks = [to_ms(clock) for clock in self.script.steps]
        return RowWriter(self.script.seed, self.project, list(self.script.people), clocks)


class Moment:
    """A world at one of its steps.

    Attributes:
        step: From 1.
        now: The clock, UTC, whole seconds; what `RELAY_NOW` is to be.
    """

    def __init__(self, world: World, step: int) -> None:
        self._world = world
        self.step = step
        self.now = world.script.clock(step)

    def events(self, since: datetime | None = None) -> Iterator[HourOfRows]:
        """The export's rows up to now, hour by hour; one hour is held at a time.

        Args:
            since: Leave out hours before this one.

        Yields:
            (start of the hour of `server_upload_time`, its rows as dicts of 55 keys). A re-exported
            row is there twice, its double at the end of the hour.
        """
        world = self._world
        since_ms = 0 if since is None else to_ms(since)
        for hour_ms, arrivals in hourly_arrivals(
            world.script, AmplitudeIds(world.script.seed), until=self.now
        ):
            if hour_ms >= since_ms:
                rows = [(arrival.copies, world.row_writer.row(arrival)) for arrival in arrivals]
                doubles = [row for copies, row in rows if copies > 1]
                yield at_ms(hour_ms), [row for _, row in rows] + doubles

    def hours(self, since: datetime | None = None) -> Iterator[ExportHour]:
        """The same as lines, ready for `archives.export_archive`."""
        for hour, rows in self.events(since):
            yield ExportHour(self._world.project, hour, [row_line(row) for row in rows])

    def archive(self, first: datetime, last: datetime) -> bytes:
        """What the Export API answers for a range of hours, both included; empty for a 404."""
        hours = [hour for hour in self.hours(first) if hour.hour <= last]
        return export_archive(hours, requested_at=self.now) if hours else b""

    @cached_property
    def ids(self) -> AmplitudeIds:
        """What Amplitude has learnt about devices and users up to now."""
        script = self._world.script
        ids = AmplitudeIds(script.seed)
        for _ in hourly_arrivals(script, ids, until=self.now):
            pass
        return ids

    @property
    def merges(self) -> Sequence[Merge]:
        """All merges up to now, in order of arrival."""
        return self.ids.merges

    def merge_files(self, since: datetime | None = None) -> Iterator[tuple[str, bytes]]:
        """Merged-id files, (name, bytes), one for each hour since a time with any."""
        organisation = self._world.organisation
        since_ms = 0 if since is None else to_ms(since)
        newer = (merge for merge in self.merges if merge.server_ms >= since_ms)
        for hour, merges in groupby(newer, lambda merge: merge.server_ms // HOUR_MS):
            name = merge_file_name(organisation, at_ms(hour * HOUR_MS))
            yield name, merge_file(organisation, merges)

    def cohorts(self) -> list[CohortAtStep]:
        """The cohorts as Amplitude lists and exports them now."""
        return [self._cohort(cohort) for cohort in self._world.script.cohorts]

    def cohort(self, cohort_id: str) -> CohortAtStep:
        """One of them.

        Raises:
            KeyError: There is none of that id.
        """
        return self._cohort(self._world.cohort(cohort_id))

    def truth(self, cohort_id: str, user_id_from: Sequence[str] = ("user_id",)) -> Truth:
        """Who is a member now, under which key. `KeyError` for an unknown cohort."""
        world = self._world
        return world.truths(user_id_from).truth(world.cohort(cohort_id), self.step)

    def diff(self, cohort_id: str, user_id_from: Sequence[str] = ("user_id",)) -> TrueDiff:
        """What changed since the step before. `KeyError` for an unknown cohort."""
        world = self._world
        return world.truths(user_id_from).diff(world.cohort(cohort_id), self.step)

    def _cohort(self, cohort: Cohort) -> CohortAtStep:
        rows = tuple(self._rows(cohort))
        script = self._world.script
        computed_at = script.computed_at(cohort, self.step) if cohort.is_computed else None
        return CohortAtStep(
            cohort.cohort_id,
            cohort.name,
            computed_at,
            self._listing(cohort, computed_at, len(rows)),
            rows,
        )

    def _rows(self, cohort: Cohort) -> Iterator[tuple[str, str]]:
        for member in cohort.rows(self.step):
            if member.user_id is not None:
                amplitude_id = self.ids.of_user[member.user_id]
            else:
                amplitude_id = self.ids.first_of_device[member.device_id or ""]
            yield str(amplitude_id), self.ids.user_of.get(amplitude_id, "")

    def _listing(self, cohort: Cohort, computed_at: datetime | None, size: int) -> dict[str, Any]:
        """An entry of the cohort list: the keys of a recorded answer, in its order."""
        created = int(datetime(2026, 1, 5, 9, 30, tzinfo=UTC).timestamp()) + len(cohort.name)
        is_computed = computed_at is not None
        return {
            "appId": self._world.project,
            "archived": cohort.is_archived,
            "definition": {
                "version": 3,
                "countGroup": {"name": "User", "is_computed": False},
                "cohortType": "UNIQUES",
                "andClauses": [],
                "referenceFrameTimeParams": {},
            },
            "description": cohort.description,
            "finished": is_computed,
            "id": cohort.cohort_id,
            "name": cohort.name,
            "published": True,
            "type": "redshift",
            "lastMod": created,
            "createdAt": created,
            "lastComputed": int(computed_at.timestamp()) if computed_at else None,
            "hidden": False,
            "metadata": None,
            "view_count": None,
            "popularity": None,
            "last_viewed": None,
            "chart_id": None,
            "edit_id": None,
            "is_predictive": False,
            "is_official_content": False,
            "location_id": None,
            "shortcut_ids": [],
            "per_app_metadata": None,
            "cohort_definition_type": None,
            "cohort_output_type": "UNIQUES",
            "is_generated_content": False,
            "owners": ["analyst@shop.example"],
            "viewers": [],
            "size": size if is_computed else None,
        }
