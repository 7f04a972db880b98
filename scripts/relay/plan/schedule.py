"""When a sync is due: pure functions of its configuration, its last run and the clock.

A schedule is a series of instants. A sync is due when one of them lies after its last run and not
after now, so a missed one is made up for once, not several times, and a run asked for by hand
between two of them moves none. The first run of any sync is due at once.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from relay.config import ALL_COHORTS, CohortSync, EventExport, Sync
from relay.errors import ConfigurationError

OLDEST_EXPORT_DAYS = 60

_UTC = ZoneInfo("UTC")
# Wall clocks have been set by up to a day (the date line moved): instants this near are looked at.
_NEAR = timedelta(hours=26)
_STEPS = {
    "hourly": timedelta(hours=1),
    "real_time": timedelta(minutes=1),
    "streaming": timedelta(minutes=1),
}


@dataclass(frozen=True)
class Due:
    """Whether a sync is due now, when it is due after now (None: never again), and why."""

    is_due: bool
    next_run_at: datetime | None
    reason: str


def is_due(sync: Sync, *, last_run: datetime | None, now: datetime, zone: ZoneInfo = _UTC) -> Due:
    """Whether a sync is to run now.

    Hourly syncs are due at each full hour and near-real-time ones at each full minute of UTC; daily
    ones at `at` in `timezone`, once a day whatever the clock of the zone does: where it skips that
    time, as much later; where it has it twice, at the first. Exports of every N hours are due at
    midnight of `cycle_from` (default `start_date`) and each N hours of the wall clock from there
    on, not before; without either the cycle begins anew each midnight.

    Args:
        sync: An entry of syncs.yml.
        last_run: When it last ran, aware; None when it never did.
        now: The clock, aware.
        zone: For exports, the zone of their midnights; others have it in themselves.

    Source:
        CleverTap, Amplitude Export: frequency, date to export data, modify export frequency.
    """
    if not sync.enabled:
        return Due(False, None, "not enabled")
    now = now.astimezone(UTC)
    last_run = None if last_run is None else last_run.astimezone(UTC)
    if sync.frequency == "one_time":
        if last_run is None:
            return Due(True, None, "first run")
        return Due(False, None, f"ran once, {_text(last_run)}")
    if isinstance(sync, EventExport) and sync.cycle_start is not None:
        start = _instant(datetime.combine(sync.cycle_start, time()), zone)
        if now < start:
            return Due(False, start, f"starts {_text(start)}")
    after = now if last_run is None else max(now, last_run)
    following = _first_after(sync, zone, after)
    if last_run is None:
        return Due(True, following, "first run")
    latest = _last_until(sync, zone, now)
    if latest is not None and latest > last_run:
        return Due(True, following, f"due since {_text(latest)}")
    return Due(False, following, f"due {_text(following)}")


def is_download_due(
    syncs: Iterable[CohortSync],
    cohort_id: str,
    last: datetime | None,
    *,
    now: datetime,
    named: Collection[str] = (),
) -> bool:
    """Whether a cohort is to be downloaded for its syncs: one of them was due since the last time.

    Args:
        syncs: The cohort syncs of syncs.yml.
        cohort_id: Amplitude's id; `all` in a sync means every cohort.
        last: When its last download was asked for; None when there was none.
        now: The clock, aware.
        named: Syncs that are to run whatever their schedule says.
    """
    return any(
        sync.name in named
        or f"{sync.name}-{cohort_id}" in named
        or is_due(sync, last_run=last, now=now).is_due
        for sync in syncs
        if sync.enabled and sync.cohort_id in {ALL_COHORTS, cohort_id}
    )


def check_export_window(export: EventExport, *, now: datetime, zone: ZoneInfo = _UTC) -> None:
    """Refuse a one-time export whose days CleverTap and MoEngage would not export any more.

    To be asked when one is to run: one that has run may stay in syncs.yml as its days pass.

    Raises:
        ConfigurationError: `from` is more than 60 days before today, or `to` is after today.

    Source:
        CleverTap, Amplitude Export: one time, data up to the last 60 days.
    """
    if export.from_date is None or export.to_date is None:
        return
    today = now.astimezone(zone).date()
    oldest = today - timedelta(days=OLDEST_EXPORT_DAYS)
    if export.from_date < oldest or export.to_date > today:
        raise ConfigurationError(
            f"event export {export.name}: from {export.from_date} to {export.to_date} cannot be "
            f"exported; expected days of the last {OLDEST_EXPORT_DAYS}, {oldest} to {today}"
        )


def _text(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def _instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """The instant of a wall-clock time; the first of two, and as much later as one was skipped."""
    return wall.replace(tzinfo=zone, fold=0).astimezone(UTC)


def _first_after(sync: Sync, zone: ZoneInfo, instant: datetime) -> datetime:
    step = _STEPS.get(sync.frequency)
    if step is not None:
        return _floor(instant, step) + step
    return min(each for each in _near(sync, zone, instant) if each > instant)


def _last_until(sync: Sync, zone: ZoneInfo, instant: datetime) -> datetime | None:
    step = _STEPS.get(sync.frequency)
    if step is not None:
        return _floor(instant, step)
    return max((each for each in _near(sync, zone, instant) if each <= instant), default=None)


def _floor(instant: datetime, step: timedelta) -> datetime:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return instant - (instant - epoch) % step


def _near(sync: Sync, zone: ZoneInfo, instant: datetime) -> Iterable[datetime]:
    """The instants of a wall-clock schedule for two days around; more than one on each side."""
    if isinstance(sync, EventExport):
        local = instant.astimezone(zone).replace(tzinfo=None)
        hours = timedelta(hours=sync.every_hours or 24)
        for wall in _cycle(sync.cycle_start, hours, local - 2 * _NEAR, local + 2 * _NEAR):
            yield _instant(wall, zone)
    elif isinstance(sync, CohortSync):
        today = instant.astimezone(sync.zone).date()
        for days in range(-3, 4):
            wall = datetime.combine(today + timedelta(days=days), sync.at_time)
            yield _instant(wall, sync.zone)


def _cycle(
    start: date | None, hours: timedelta, first: datetime, last: datetime
) -> Iterable[datetime]:
    """Wall-clock times every so many hours from a start, or from each midnight without one."""
    if start is not None:
        begin = datetime.combine(start, time())
        wall = begin + max(0, -((begin - first) // hours)) * hours
        while wall <= last:
            yield wall
            wall += hours
        return
    day = datetime.combine(first.date(), time())
    while day <= last:
        wall = day
        while wall < day + timedelta(days=1):
            yield wall
            wall += hours
        day += timedelta(days=1)
