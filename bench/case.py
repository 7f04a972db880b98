"""What a case consists of, and what comes of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


class WrongResultError(Exception):
    """What was measured did not give the truth: its time is worth nothing."""


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        name: Of a goal in `goals.py`; any other name is of something measured beside the goals.
        size: How many rows, events, links or members it was measured with.
        value: In the goal's unit; the median where there are several rounds.
        cpu_seconds: Of our side, user and system: the median.
        wall_seconds: Of our side: the best.
        low: The lowest of the rounds.
        high: The highest.
        against: The yardstick in words, with its own figures.
        note: What a reader must know beside that.
        unit: Of a figure without a goal.
        peak_mib: Of the process that runs our side alone; None is filled in by the runner.
    """

    name: str
    size: int
    value: float
    cpu_seconds: float
    wall_seconds: float | None = None
    low: float | None = None
    high: float | None = None
    against: str = ""
    note: str = ""
    unit: str = ""
    peak_mib: float | None = None


@dataclass(frozen=True)
class Case:
    """Something to measure. Each step runs in a process of its own, in one folder.

    Attributes:
        name: As on the command line.
        what: One line for the list of cases.
        sizes: What it is measured with by default.
        prepare: Makes the seeded data of a size in the folder.
        measure: Gives the figures; raises `WrongResultError` where a result is not the truth. Its
            last argument is the number of rounds.
        rounds: How often each side runs.
        alone: Runs our side once, so that the peak of that process is ours alone. Without it the
            figures have the peak of `measure`.
        peak_goal: The goal whose figure is that peak.
    """

    name: str
    what: str
    sizes: tuple[int, ...]
    prepare: Callable[[Path, int], None]
    measure: Callable[[Path, int, int], list[Figure]]
    rounds: int = 3
    alone: Callable[[Path, int], None] | None = None
    peak_goal: str | None = None


def expect(what: str, found: object, truth: object) -> None:
    """Compare a result with the truth.

    Raises:
        WrongResultError: They differ.
    """
    if found != truth:
        raise WrongResultError(f"{what}: found {found!r:.500}, the truth is {truth!r:.500}")
