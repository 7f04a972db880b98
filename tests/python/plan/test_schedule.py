"""Schedules: once a day whatever the clock does, and never twice for one instant."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config import CohortSync, EventExport, EventImport
from relay.errors import ConfigurationError
from relay.plan.schedule import check_export_window, is_download_due, is_due

ZONES = ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns", "Pacific/Chatham"]
instants = st.integers(0, 3 * 365 * 86_400).map(
    lambda seconds: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)
times_of_day = st.times().map(lambda at: at.strftime("%H:%M"))


def sync(**fields: Any) -> CohortSync:
    return CohortSync(name="s", cohort_id="c", destination="lytics", **fields)


def export(**fields: Any) -> EventExport:
    return EventExport.model_validate({"name": "e", "source": "clevertap", **fields})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


schedules = st.one_of(
    st.builds(sync, at=times_of_day, timezone=st.sampled_from(ZONES)),
    st.builds(sync, frequency=st.sampled_from(["hourly", "real_time"])),
    st.builds(
        export,
        frequency=st.integers(4, 24).map(lambda hours: f"every_{hours}_hours"),
        start_date=st.one_of(st.none(), st.dates(date(2024, 1, 1), date(2024, 12, 31))),
    ),
)


@given(schedules, instants, st.sampled_from(ZONES))
def test_a_sync_is_next_due_at_its_next_run_and_not_before(
    schedule: CohortSync | EventExport, now: datetime, zone_name: str
) -> None:
    zone = ZoneInfo(zone_name)
    following = is_due(schedule, last_run=now, now=now, zone=zone).next_run_at
    assert following is not None
    assert following > now
    assert is_due(schedule, last_run=now, now=following, zone=zone).is_due
    assert not is_due(
        schedule, last_run=now, now=following - timedelta(seconds=1), zone=zone
    ).is_due
    assert not is_due(schedule, last_run=following, now=following, zone=zone).is_due


@given(times_of_day, st.sampled_from(ZONES), instants)
def test_a_daily_sync_runs_once_on_each_day_of_its_zone(
    time_of_day: str, zone_name: str, first_run: datetime
) -> None:
    daily = sync(at=time_of_day, timezone=zone_name)
    runs = [first_run]
    for _ in range(40):
        following = is_due(daily, last_run=runs[-1], now=runs[-1]).next_run_at
        assert following is not None
        runs.append(following)
    days = [run.astimezone(ZoneInfo(zone_name)).date() for run in runs[1:]]
    assert days == [days[0] + timedelta(days=number) for number in range(len(days))]


@pytest.mark.parametrize(
    ("last_run", "expected"),
    [
        # 02:30 does not exist on 29 March in Berlin, and is twice there on 25 October.
        ("2026-03-28T12:00", "2026-03-29T01:30"),
        ("2026-03-29T12:00", "2026-03-30T00:30"),
        ("2026-10-24T12:00", "2026-10-25T00:30"),
        ("2026-10-25T00:30", "2026-10-26T01:30"),
    ],
)
def test_a_clock_change_moves_a_daily_sync_within_its_day(last_run: str, expected: str) -> None:
    daily = sync(at="02:30", timezone="Europe/Berlin")
    due = is_due(daily, last_run=at(last_run), now=at(last_run))
    assert due.next_run_at == at(expected)


def test_a_missed_time_is_made_up_for_once() -> None:
    daily = sync(at="06:00")
    now = at("2026-03-05T09:00")
    assert is_due(daily, last_run=at("2026-03-01T06:00"), now=now).is_due
    assert not is_due(daily, last_run=now, now=now).is_due


def test_one_time_is_due_once_and_never_again() -> None:
    now = at("2026-03-05T09:00")
    once = EventImport(name="i", keep_updated=False)
    assert is_due(once, last_run=None, now=now).is_due
    due = is_due(once, last_run=now, now=now + timedelta(days=400))
    assert (due.is_due, due.next_run_at) == (False, None)


def test_a_first_run_is_due_at_once_unless_it_is_not_enabled() -> None:
    now = at("2026-03-05T09:00")
    assert is_due(sync(at="23:00"), last_run=None, now=now).is_due
    assert not is_due(sync(enabled=False), last_run=None, now=now).is_due


def test_another_frequency_begins_a_new_cycle_at_midnight_of_the_source() -> None:
    # The last export was at 16:00; from the next midnight on it runs every 12 hours.
    zone = ZoneInfo("Asia/Kolkata")
    edited = export(frequency="every_12_hours", start_date="2026-03-06")
    last_run = datetime(2026, 3, 5, 16, tzinfo=zone)
    due = is_due(edited, last_run=last_run, now=last_run + timedelta(hours=5), zone=zone)
    assert (due.is_due, due.next_run_at) == (False, datetime(2026, 3, 6, tzinfo=zone))
    midnight = datetime(2026, 3, 6, tzinfo=zone)
    due = is_due(edited, last_run=last_run, now=midnight, zone=zone)
    assert (due.is_due, due.next_run_at) == (True, datetime(2026, 3, 6, 12, tzinfo=zone))


def test_an_export_does_not_run_before_its_start_date() -> None:
    due = is_due(export(start_date="2026-03-06"), last_run=None, now=at("2026-03-05T09:00"))
    assert (due.is_due, due.next_run_at) == (False, at("2026-03-06T00:00"))


def test_five_hours_that_do_not_divide_a_day_count_from_the_start_date() -> None:
    every_five = export(frequency="every_5_hours", start_date="2026-03-01")
    due = is_due(every_five, last_run=at("2026-03-01T20:00"), now=at("2026-03-01T20:00"))
    assert due.next_run_at == at("2026-03-02T01:00")


@pytest.mark.parametrize(
    ("first", "last", "is_refused"),
    [
        ("2026-01-02", "2026-01-31", False),
        ("2026-01-01", "2026-01-31", True),
        ("2026-03-01", "2026-03-03", False),
        ("2026-03-01", "2026-03-04", True),
    ],
)
def test_a_one_time_export_is_of_the_last_60_days(first: str, last: str, is_refused: bool) -> None:
    once = EventExport.model_validate(
        {"name": "e", "source": "clevertap", "frequency": "one_time", "from": first, "to": last}
    )
    now = datetime(2026, 3, 2, 20, tzinfo=UTC)  # 3 March in Kolkata
    if is_refused:
        with pytest.raises(ConfigurationError, match="2026-01-02 to 2026-03-03"):
            check_export_window(once, now=now, zone=ZoneInfo("Asia/Kolkata"))
    else:
        check_export_window(once, now=now, zone=ZoneInfo("Asia/Kolkata"))


def test_a_cohort_is_downloaded_when_one_of_its_syncs_was_due_since_the_last_time() -> None:
    syncs = [sync(at="06:00"), sync(at="18:00"), sync(frequency="one_time")]
    syncs = [each.model_copy(update={"name": f"s{n}"}) for n, each in enumerate(syncs)]

    def due(last: str | None, now: str, **how: Any) -> bool:
        before = None if last is None else at(last)
        return is_download_due(syncs, how.pop("cohort", "c"), before, now=at(now), **how)

    assert due(None, "2026-03-02T05:00")
    assert not due("2026-03-02T05:00", "2026-03-02T05:59")
    assert due("2026-03-02T05:00", "2026-03-02T06:00")
    assert not due("2026-03-02T06:00", "2026-03-02T17:59")
    assert due("2026-03-02T06:00", "2026-03-03T01:00")
    assert due("2026-03-02T06:00", "2026-03-02T06:01", named=["s1"])
    assert not due("2026-03-02T06:00", "2026-03-02T06:01", named=["other"])
    assert not due(None, "2026-03-02T05:00", cohort="d")
    syncs = [sync(at="06:00").model_copy(update={"cohort_id": "all"})]
    assert due("2026-03-02T05:00", "2026-03-02T06:00", cohort="d")
    assert due("2026-03-02T06:00", "2026-03-02T06:01", cohort="d", named=["s-d"])
    assert not due("2026-03-02T06:00", "2026-03-02T06:01", cohort="d", named=["s-e"])
    syncs = [sync(frequency="hourly", enabled=False)]
    assert not due(None, "2026-03-02T06:00")
