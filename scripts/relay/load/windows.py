"""Hours of Amplitude's export: which are safe to read, and how they are asked for.

Hours are UTC and cut by `server_upload_time`. Source: Amplitude's Export API page; when an hour is
complete is the project's own, careful reading of it (data of 20:00 to 21:00 can be exported at
23:00, "at a minimum").
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from relay.errors import ConfigurationError

HOUR = timedelta(hours=1)
# An hour is complete this long after its start.
SAFE_AFTER = timedelta(hours=3)


@dataclass(frozen=True, order=True)
class Span:
    """Some consecutive hours, the first and the last one included."""

    start: datetime
    end: datetime

    def __str__(self) -> str:
        if self.start == self.end:
            return f"hour {self.start:%Y-%m-%dT%H}"
        return f"hours {self.start:%Y-%m-%dT%H} to {self.end:%Y-%m-%dT%H}"

    @property
    def hours(self) -> list[datetime]:
        """Its hours, oldest first."""
        count = round((self.end - self.start) / HOUR) + 1
        return [self.start + n * HOUR for n in range(count)]

    def halves(self) -> tuple["Span", "Span"]:
        """The older and the newer half; the span has two hours at least."""
        hours = self.hours
        middle = len(hours) // 2
        return Span(self.start, hours[middle - 1]), Span(hours[middle], self.end)


def hour_of(moment: datetime) -> datetime:
    """The start of its hour, UTC."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def newest_safe(now: datetime) -> datetime:
    """The newest hour that is complete."""
    return hour_of(now - SAFE_AFTER)


def is_final(hour: datetime, read_at: datetime, lookback: timedelta) -> bool:
    """Whether an hour that was read at this time need not be read again for late events."""
    return read_at >= hour + SAFE_AFTER + lookback


def spans_of(hours: Iterable[datetime]) -> Iterator[Span]:
    """The hours in spans, oldest first, each within one UTC day: a day is one request."""
    start = previous = None
    for hour in sorted(set(hours)):
        if start is None or previous is None:
            start = hour
        elif hour != previous + HOUR or hour.date() != previous.date():
            yield Span(start, previous)
            start = hour
        previous = hour
    if start is not None and previous is not None:
        yield Span(start, previous)


def between(start: datetime, end: datetime) -> list[datetime]:
    """All hours from the one of `start` to the one of `end`, both included."""
    first, last = hour_of(start), hour_of(end)
    return Span(first, last).hours if first <= last else []


def read_hour(text: str) -> datetime:
    """An hour as on the command line: `2026-03-01T00` or `20260301T00`, UTC.

    Raises:
        ConfigurationError: It is neither.
    """
    for form in ("%Y-%m-%dT%H", "%Y%m%dT%H"):
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise ConfigurationError(f"{text!r}: expected an hour in UTC such as 2026-03-01T00")
