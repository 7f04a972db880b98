"""A made-up world: its exports, cohorts and merged ids at each step, and the truth about them.

`World(people=400, seed=7).at(1)` is the world at its first step: `hours()` is what the Export API
has, `cohorts()` what the Behavioral Cohorts API has, and `truth("1638361188").keys` what a sync of
that cohort to CleverTap must come to.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from functools import cached_property, partial
from itertools import groupby
from typing import Any

from relay.rehearsal.addressing import (
    Addressing,
    ClevertapAddressing,
    LyticsAddressing,
    MoengageAddressing,
)
from relay.rehearsal.amplitude_ids import AmplitudeIds, Merge
from relay.rehearsal.archives import (
    ExportHour,
    export_archive,
    merge_file,
    merge_file_name,
)
from relay.rehearsal.arrivals import hourly_arrivals
from relay.rehearsal.cohort_exports import CohortAtStep, listing, member_rows
from relay.rehearsal.default_script import default_script
from relay.rehearsal.directories import clevertap_directory, directory_csv, moengage_directory
from relay.rehearsal.engagement import Engagement, Vendor, engagements
from relay.rehearsal.engagement_files import clevertap_exports, moengage_bodies, moengage_export
from relay.rehearsal.facts import Facts
from relay.rehearsal.rows import RowWriter, row_line
from relay.rehearsal.script import HOUR_MS, Cohort, Script, at_ms, to_ms
from relay.rehearsal.truth import TrueDiff, TrueWorld, Truth

PROJECT = 829528
ORGANISATION = 36958
START = date(2026, 6, 15)

HourOfRows = tuple[datetime, list[dict[str, Any]]]


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
        self._ids: dict[int, AmplitudeIds] = {}

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

    @cached_property
    def facts(self) -> Facts:
        """Who is behind a row, by the script."""
        return Facts(self.script)

    def ids(self, step: int) -> AmplitudeIds:
        """What Amplitude has learnt about devices and users up to a step."""
        if step not in self._ids:
            ids = AmplitudeIds(self.script.seed)
            for _ in hourly_arrivals(self.script, ids, until=self.script.clock(step)):
                pass
            self._ids[step] = ids
        return self._ids[step]

    def truths(
        self, destination: str = "clevertap", user_id_from: Sequence[str] = ("user_id",)
    ) -> TrueWorld:
        """What a sync must come to at each step.

        Args:
            destination: `clevertap`, `moengage` or `lytics`.
            user_id_from: As in a sync to CleverTap; the others go by `user_id`.

        Raises:
            ValueError: Another destination.
        """
        wanted = (destination, *user_id_from)
        if wanted not in self._truths:
            self._truths[wanted] = TrueWorld(self.facts, self._addressing(*wanted))
        return self._truths[wanted]

    def _addressing(self, destination: str, *user_id_from: str) -> Addressing:
        match destination:
            case "clevertap":
                return ClevertapAddressing(self.facts, user_id_from)
            case "moengage":
                return MoengageAddressing(self.facts, partial(moengage_directory, self.facts))
            case "lytics":
                return LyticsAddressing(self.ids)
            case _:
                raise ValueError(f"{destination}: not clevertap, moengage or lytics")

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
        for hour, rows in self._rows(since):
            made = list(rows)
            doubles = [row for copies, row in made if copies > 1]
            yield hour, [row for _, row in made] + doubles

    def hours(self, since: datetime | None = None) -> Iterator[ExportHour]:
        """The same as lines, ready for `archives.export_archive`; no more than them is held."""
        for hour, rows in self._rows(since):
            lines, doubles = [], []
            for copies, row in rows:
                lines.append(row_line(row))
                doubles += lines[-1:] * (copies - 1)
            yield ExportHour(self._world.project, hour, lines + doubles)

    def _rows(
        self, since: datetime | None
    ) -> Iterator[tuple[datetime, Iterator[tuple[int, dict[str, Any]]]]]:
        """Hour by hour (how often it is exported, row), each row made when it is asked for."""
        script, row_of = self._world.script, self._world.row_writer.row
        since_ms = 0 if since is None else to_ms(since)
        for hour_ms, arrivals in hourly_arrivals(script, AmplitudeIds(script.seed), until=self.now):
            if hour_ms >= since_ms:
                yield at_ms(hour_ms), ((each.copies, row_of(each)) for each in arrivals)

    def archive(self, first: datetime, last: datetime) -> bytes:
        """What the Export API answers for a range of hours, both included; empty for a 404."""
        hours = [hour for hour in self.hours(first) if hour.hour <= last]
        return export_archive(hours, requested_at=self.now) if hours else b""

    @property
    def ids(self) -> AmplitudeIds:
        """What Amplitude has learnt about devices and users up to now."""
        return self._world.ids(self.step)

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

    def truth(
        self,
        cohort_id: str,
        user_id_from: Sequence[str] = ("user_id",),
        *,
        destination: str = "clevertap",
    ) -> Truth:
        """Who is a member now, under which key; see `World.truths`. `KeyError`: no such cohort."""
        world = self._world
        return world.truths(destination, user_id_from).truth(world.cohort(cohort_id), self.step)

    def diff(
        self,
        cohort_id: str,
        user_id_from: Sequence[str] = ("user_id",),
        *,
        destination: str = "clevertap",
    ) -> TrueDiff:
        """What changed since the step before; see `World.truths`. `KeyError`: no such cohort."""
        world = self._world
        return world.truths(destination, user_id_from).diff(world.cohort(cohort_id), self.step)

    def known_users(self, destination: str) -> bytes:
        """The destination's own user directory as a CSV file.

        Args:
            destination: `moengage` (`uid,moe_anonymous_id`) or `clevertap` (`identity,objectId`).

        Raises:
            ValueError: Another destination: Lytics has none.
        """
        facts = self._world.facts
        match destination:
            case "moengage":
                rows = moengage_directory(facts, self.step)
                return directory_csv(("uid", "moe_anonymous_id"), rows)
            case "clevertap":
                rows = clevertap_directory(facts, self.step)
                return directory_csv(("identity", "objectId"), rows)
            case _:
                raise ValueError(f"{destination}: not clevertap or moengage")

    def engagements(self, vendor: Vendor) -> list[Engagement]:
        """What `moengage` or `clevertap` has to tell now, and what Amplitude is to be told."""
        return engagements(self._world.facts, vendor, self.step)

    def moengage_bodies(self) -> Iterator[bytes]:
        """Streams request bodies of the events."""
        return moengage_bodies(self.engagements("moengage"))

    def moengage_files(self) -> Iterator[tuple[str, bytes]]:
        """Streams request bodies and a cloud export file of the same events, (name, bytes)."""
        events = self.engagements("moengage")
        for number, body in enumerate(self.moengage_bodies(), start=1):
            yield f"streams-{self.step}-{number:03d}.json", body
        yield f"event_exports_{to_ms(self.now) // 1000}.json.gz", moengage_export(events)

    def clevertap_files(self, time_zone: str = "UTC") -> Iterator[tuple[str, bytes]]:
        """Export files of the events, (name, bytes); `ts` in the project's time zone."""
        events = self.engagements("clevertap")
        yield from clevertap_exports(events, run_at=self.now, time_zone=time_zone)

    def _cohort(self, cohort: Cohort) -> CohortAtStep:
        script = self._world.script
        computed_at = script.computed_at(cohort, self.step) if cohort.is_computed else None
        rows = tuple(member_rows(cohort.rows(self.step), self.ids))
        return CohortAtStep(
            cohort.cohort_id,
            cohort.name,
            computed_at,
            listing(cohort, self._world.project, computed_at, len(rows)),
            rows,
        )
