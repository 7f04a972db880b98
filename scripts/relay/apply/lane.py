"""The lane to one destination: its threads, its turns, and the point where it stops.

Requests are taken from an iterator one by one as threads get free, so that memory holds only what
is in flight. All first-phase requests (removals) of a lane end before its second phase begins, and
a sync whose removals did not all come to an end sends no addition.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

from relay.apply.delivery import Delivery, Job, Record
from relay.apply.gate import Gate
from relay.apply.verdicts import Exchange, Scope, Verdict
from relay.apply.ways import Way
from relay.errors import ConfigurationError, RelayError

Listener = Callable[[Job, Delivery], None]
LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Failure:
    """Why a sync, or everything to a destination, was not brought to its end."""

    name: str
    message: str
    exit_code: int


class Lane:
    """Deliveries to one destination by one way.

    Args:
        name: The destination, for messages.
        way: How requests reach it.
        record: The ledger, for one plan.
        jobs: Gives the requests of a phase (1 or 2) that are to be sent, less those of the syncs
            named.
        now: The clock.
        listener: Told of each request when nothing more is done for it.
    """

    def __init__(
        self,
        name: str,
        way: Way,
        record: Record,
        jobs: Callable[[int, Sequence[str]], Iterator[Job]],
        *,
        now: Callable[[], datetime],
        listener: Listener,
    ) -> None:
        self.name = name
        self.failures: list[Failure] = []
        self.error: BaseException | None = None
        self.stop = threading.Event()
        self.now = now
        self._way = way
        self._record = record
        self._jobs = jobs
        self._gate = Gate(way.limits)
        self._listener = listener
        self._chance = random.Random()  # noqa: S311 - spreads waits, guards nothing
        self._lock = threading.Lock()
        self._stopped_syncs: set[str] = set()
        self._unfinished: set[str] = set()
        self._failures_in_a_row = 0
        self._deliveries: dict[int, Delivery] = {}

    def run(self) -> None:
        """Send both phases; what goes wrong is kept in `failures` and `error`."""
        try:
            for phase in (1, 2):
                self._run_phase(phase)
        except BaseException as error:
            self._fail(error)
        finally:
            self._way.close()

    def abandon(self) -> None:
        """Wait for no answer any more; what is out is of unknown outcome."""
        self.stop.set()
        with self._lock:
            deliveries = list(self._deliveries.values())
        for delivery in deliveries:
            delivery.abandon()

    def _run_phase(self, phase: int) -> None:
        source = self._jobs(phase, sorted(self._unfinished))
        threads = [
            threading.Thread(target=self._work, args=(source,), daemon=True)
            for _ in range(self._way.limits.concurrency)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self, source: Iterator[Job]) -> None:
        """Take requests and deliver them until there are none or the lane is stopped."""
        try:
            while not self.stop.is_set():
                with self._lock:
                    job = next(source, None)
                    if job is None:
                        return
                    delivery = Delivery(job, self._way, self, self._record, self._chance)
                    self._deliveries[id(delivery)] = delivery
                delivery.run()
                with self._lock:
                    del self._deliveries[id(delivery)]
                    if delivery.is_unfinished:
                        self._unfinished.add(job.sync.name)
                self._listener(job, delivery)
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            if self.error is None:
                self.error = error
        self.stop.set()

    # --- what deliveries share -------------------------------------------------------------------

    def turn(self) -> AbstractContextManager[float | None]:
        """Wait for a turn and hold it: gives when it began, None when the lane is stopped."""
        return self._gate.passing(self.stop)

    def is_stopped(self, sync: str) -> bool:
        """Whether nothing of this sync is to be sent any more."""
        return self.stop.is_set() or sync in self._stopped_syncs

    def learn(self, job: Job, exchange: Exchange, verdict: Verdict, began: float) -> None:
        """Go slower after a 429; stop where going on would meet the same answer."""
        if verdict.is_throttled:
            self._gate.slow_down(began, verdict.hold)
        elif verdict.outcome == "delivered":
            self._gate.succeed()
        if verdict.stop is not None:
            error = ConfigurationError if verdict.stop.is_configuration else RelayError
            is_sync = verdict.stop.scope is Scope.SYNC
            message = f"{self.name}: {verdict.stop.message}"
            self._stop(job.sync.name if is_sync else None, message, error.exit_code)
        with self._lock:
            has_answer = exchange.status is not None and exchange.status < 500
            self._failures_in_a_row = 0 if has_answer else self._failures_in_a_row + 1
            failures = self._failures_in_a_row
        if failures >= self._way.limits.failures_in_a_row:
            message = (
                f"{self.name}: {failures} requests in a row without a usable answer "
                f"({verdict.reason}); stopped, so that no more rows end in doubt. "
                "Run the same `relay apply` again later"
            )
            self._stop(None, message, RelayError.exit_code)

    def give_up(self, job: Job, reason: str) -> None:
        """A request had all its tries: others would fare no better."""
        attempts = self._way.limits.attempts
        message = (
            f"{self.name}: {reason}, {attempts} times; what is left stays pending. "
            "Run the same `relay apply` again later"
        )
        self._stop(None, message, RelayError.exit_code)

    def _stop(self, sync: str | None, message: str, exit_code: int) -> None:
        """Stop one sync or the lane, and say so once."""
        with self._lock:
            is_new = not self.stop.is_set() if sync is None else sync not in self._stopped_syncs
            if sync is None:
                self.stop.set()
            else:
                self._stopped_syncs.add(sync)
                self._unfinished.add(sync)
            if is_new:
                self.failures.append(Failure(sync or self.name, message, exit_code))


def wait_for(lanes: Sequence[Lane], stop: threading.Event, grace_seconds: float) -> None:
    """Run lanes side by side until each has ended.

    Args:
        lanes: The lanes.
        stop: When it is set, nothing new begins. What is in flight has `grace_seconds` to be
            answered; then it is marked as unknown and waited for no longer.
        grace_seconds: See `stop`.
    """
    if stop.is_set():
        return
    threads = [threading.Thread(target=lane.run, daemon=True) for lane in lanes]
    for thread in threads:
        thread.start()
    last = float("inf")
    try:
        while any(thread.is_alive() for thread in threads) and time.monotonic() < last:
            for thread in threads:
                thread.join(LOOK_SECONDS / len(threads))
            if stop.is_set() and last == float("inf"):
                last = time.monotonic() + grace_seconds
                for lane in lanes:
                    lane.stop.set()
    finally:
        for lane, thread in zip(lanes, threads, strict=True):
            if thread.is_alive():
                lane.abandon()
