"""Lets requests through to a destination no faster than it allows.

One gate per way to a destination; its threads meet here. The number in flight shrinks by half when
the vendor says we are too fast and grows back with its successes; requests per minute are counted
over a sliding window, a little longer than the vendor's so that travel times do no harm.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from relay.apply.limits import Limits

WINDOW_SECONDS = 60.5
SUCCESSES_TO_GROW = 20
LOOK_SECONDS = 0.25


class Gate:
    """Counts what is in flight and what went in the last minute.

    Args:
        limits: What the destination allows.
        clock: Seconds that only grow.
    """

    def __init__(self, limits: Limits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = limits.concurrency
        self._allowed = limits.concurrency
        self._per_window = limits.requests_per_minute
        self._clock = clock
        self._changed = threading.Condition()
        self._in_flight = 0
        self._sent: deque[float] = deque()
        self._closed_until = 0.0
        self._slowed_at = float("-inf")
        self._successes = 0

    @contextmanager
    def passing(self, stop: threading.Event) -> Iterator[float | None]:
        """Wait for a turn and hold it for the block.

        Gives the time at which it began; None, without a turn, once `stop` is set.
        """
        began = self._await_turn(stop)
        try:
            yield began
        finally:
            if began is not None:
                with self._changed:
                    self._in_flight -= 1
                    self._changed.notify()

    def _await_turn(self, stop: threading.Event) -> float | None:
        """Wait for a turn and take it; None once `stop` is set."""
        with self._changed:
            while (wait := self._wait()) > 0 and not stop.is_set():
                self._changed.wait(min(wait, LOOK_SECONDS))
            if stop.is_set():
                return None
            now = self._clock()
            self._in_flight += 1
            if self._per_window is not None:
                self._sent.append(now)
            return now

    def slow_down(self, began: float, hold: float) -> None:
        """The vendor says we are too fast: half as many at once, and none for `hold` seconds.

        Answers to requests that `began` before the last slowing tell nothing new.
        """
        with self._changed:
            now = self._clock()
            self._closed_until = max(self._closed_until, now + hold)
            self._successes = 0
            if began > self._slowed_at:
                self._slowed_at = now
                self._allowed = max(1, self._allowed // 2)

    def succeed(self) -> None:
        """The vendor took a request: after some of these one more may go at once."""
        with self._changed:
            self._successes += 1
            if self._successes >= SUCCESSES_TO_GROW and self._allowed < self._most:
                self._allowed += 1
                self._successes = 0
                self._changed.notify()

    def _wait(self) -> float:
        """Seconds until a request may pass, as far as is known; 0 when it may now."""
        now = self._clock()
        if now < self._closed_until:
            return self._closed_until - now
        if self._in_flight >= self._allowed:
            return LOOK_SECONDS
        if self._per_window is None:
            return 0.0
        while self._sent and self._sent[0] <= now - WINDOW_SECONDS:
            self._sent.popleft()
        if len(self._sent) < self._per_window:
            return 0.0
        return self._sent[0] + WINDOW_SECONDS - now
