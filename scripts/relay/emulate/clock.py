"""The emulators' own time: what a vendor believes the hour is, and how long ago a request was."""

import threading
import time
from datetime import UTC, datetime, timedelta


class Clock:
    """A clock that can be set, moved and stopped, for all emulators together.

    Two readings, because a stopped calendar must not stop rate limits: `now` is the date that data,
    quotas and time stamps go by; `elapsed` is the stop watch that windows, delays and expiries go
    by. It always runs, and it runs ahead with every step `advance` or `set` takes forward.

    Args:
        start: What `now` says first, with a time zone; the machine's time when not given.
        frozen: Whether `now` stands still between calls of `set` and `advance`.

    Raises:
        ValueError: `start` has no time zone.
    """

    def __init__(self, start: datetime | None = None, *, frozen: bool = False) -> None:
        self._lock = threading.Lock()
        self._ahead = 0.0
        self._frozen = frozen
        self._base = _in_utc(start or datetime.now(UTC))
        self._base_mark = time.monotonic()

    @property
    def frozen(self) -> bool:
        """Whether `now` stands still."""
        return self._frozen

    def now(self) -> datetime:
        """The vendors' present, in UTC."""
        with self._lock:
            return self._now()

    def elapsed(self) -> float:
        """Seconds since some moment; only differences mean anything."""
        return time.monotonic() + self._ahead

    def set(self, moment: datetime) -> None:
        """Make `moment` the present; going back leaves the stop watch alone."""
        with self._lock:
            step = (_in_utc(moment) - self._now()).total_seconds()
            self._ahead += max(step, 0.0)
            self._rebase(_in_utc(moment))

    def advance(self, step: timedelta | float) -> None:
        """Let time pass: a timedelta, or seconds."""
        seconds = step.total_seconds() if isinstance(step, timedelta) else step
        with self._lock:
            self._ahead += max(seconds, 0.0)
            self._rebase(self._now() + timedelta(seconds=seconds))

    def freeze(self) -> None:
        """Stop the calendar where it is."""
        with self._lock:
            self._rebase(self._now())
            self._frozen = True

    def run(self) -> None:
        """Let the calendar run on from where it is."""
        with self._lock:
            self._rebase(self._now())
            self._frozen = False

    def _now(self) -> datetime:
        if self._frozen:
            return self._base
        return self._base + timedelta(seconds=time.monotonic() - self._base_mark)

    def _rebase(self, moment: datetime) -> None:
        self._base = moment
        self._base_mark = time.monotonic()


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"the clock needs a time zone, got {moment.isoformat()} without one")
    return moment.astimezone(UTC)
