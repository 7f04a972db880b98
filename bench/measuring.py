"""Runs two sides in turn and compares what they cost: CPU seconds first, the clock second."""

import resource
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal, TypeVar

Result = TypeVar("Result")
Ours = TypeVar("Ours")
Theirs = TypeVar("Theirs")
Measure = Literal["cpu", "wall"]


@dataclass
class Cost:
    """Seconds of CPU (user and system, all threads, children that were waited for) and clock."""

    cpu: float = 0.0
    wall: float = 0.0


def _cpu_now() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


@contextmanager
def timed() -> Iterator[Cost]:
    """The cost of the block, complete when it ends."""
    cost = Cost()
    cpu, wall = _cpu_now(), time.perf_counter()
    try:
        yield cost
    finally:
        cost.cpu, cost.wall = _cpu_now() - cpu, time.perf_counter() - wall


@dataclass(frozen=True)
class Side(Generic[Result]):
    """One of two sides.

    Attributes:
        run: What is timed.
        check: Looks at the result, untimed; raises `WrongResultError` if it is not the truth.
        before: Untimed, before each run.
    """

    run: Callable[[], Result]
    check: Callable[[Result], None]
    before: Callable[[], object] | None = None

    def once(self) -> Cost:
        """Run it and check what came out; the cost is of the run alone."""
        if self.before is not None:
            self.before()
        with timed() as cost:
            result = self.run()
        self.check(result)
        return cost


@dataclass(frozen=True)
class Pairs:
    """What both sides cost, round by round."""

    ours: list[Cost] = field(default_factory=list)
    theirs: list[Cost] = field(default_factory=list)

    def ratios(self, measure: Measure = "cpu") -> list[float]:
        """Ours through theirs, of each round."""
        return [
            getattr(ours, measure) / getattr(theirs, measure)
            for ours, theirs in zip(self.ours, self.theirs, strict=True)
        ]


def alternate(
    ours: Side[Ours], theirs: Side[Theirs], rounds: int, *, warm_up: bool = False
) -> Pairs:
    """Run A B A B A B, checking each result, so that both sides see the same weather.

    Args:
        ours: A.
        theirs: B, the yardstick.
        rounds: Pairs to run.
        warm_up: Run both once before, uncounted: for steps so short that the first look at the data
            would decide.
    """
    pairs = Pairs()
    if warm_up:
        ours.once()
        theirs.once()
    for _ in range(rounds):
        pairs.ours.append(ours.once())
        pairs.theirs.append(theirs.once())
    return pairs


def median_cpu(costs: list[Cost]) -> float:
    """The median of the CPU seconds."""
    return statistics.median(cost.cpu for cost in costs)


def best_wall(costs: list[Cost]) -> float:
    """The least of the seconds by the clock."""
    return min(cost.wall for cost in costs)


def peak_mib() -> float:
    """The most memory this process ever held, in MiB (`VmHWM`, which `exec` sets back)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status has no VmHWM: the peak of memory is measured on Linux only")
