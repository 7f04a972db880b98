"""Hours: which are safe, due, final, and how they are asked for."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config import AmplitudeConfig
from relay.errors import ConfigurationError
from relay.load.windows import HOUR, Span, between, is_final, newest_safe, read_hour, spans_of

START = datetime(2026, 3, 1, tzinfo=UTC)


def test_an_hour_is_safe_three_hours_after_its_start() -> None:
    assert newest_safe(datetime(2026, 3, 2, 12, 30, tzinfo=UTC)) == datetime(
        2026, 3, 2, 9, tzinfo=UTC
    )
    assert newest_safe(datetime(2026, 3, 2, 12, tzinfo=UTC)) == datetime(2026, 3, 2, 9, tzinfo=UTC)
    assert newest_safe(datetime(2026, 3, 2, 11, 59, tzinfo=UTC)) == datetime(
        2026, 3, 2, 8, tzinfo=UTC
    )


def test_an_hour_is_final_once_read_a_lookback_after_it_was_safe() -> None:
    day = timedelta(hours=24)
    assert not is_final(START, START + timedelta(hours=26, minutes=59), day)
    assert is_final(START, START + timedelta(hours=27), day)
    assert is_final(START, START + timedelta(hours=3), timedelta(0))


@given(st.sets(st.integers(0, 200)))
def test_spans_are_the_hours_once_in_order_within_a_day(numbers: set[int]) -> None:
    hours = [START + number * HOUR for number in numbers]
    spans = list(spans_of(hours))
    assert [hour for span in spans for hour in span.hours] == sorted(hours)
    assert all(span.start.date() == span.end.date() for span in spans)
    assert spans == sorted(spans)
    for earlier, later in itertools.pairwise(spans):
        assert earlier.end + HOUR < later.start or later.start.hour == 0


@given(st.integers(2, 24))
def test_halves_are_the_whole(count: int) -> None:
    span = Span(START, START + (count - 1) * HOUR)
    older, newer = span.halves()
    assert older.hours + newer.hours == span.hours
    assert abs(len(older.hours) - len(newer.hours)) <= 1


def test_the_first_load_goes_back_90_days_and_24_hours_are_read_again() -> None:
    assert (AmplitudeConfig().backfill_days, AmplitudeConfig().lookback_hours) == (90, 24)


def test_hours_between_include_both_ends() -> None:
    assert between(START, START) == [START]
    assert between(START + timedelta(minutes=59), START + HOUR) == [START, START + HOUR]
    assert between(START + HOUR, START) == []


def test_an_hour_is_read_in_both_forms() -> None:
    assert read_hour("2026-03-01T05") == read_hour("20260301T05") == START.replace(hour=5)
    with pytest.raises(ConfigurationError, match="expected an hour in UTC"):
        read_hour("2026-03-01")
