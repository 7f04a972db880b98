"""Progress bars on standard error, on a terminal only: rows, rate and the time that remains."""

import sys
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class RateColumn(ProgressColumn):
    """Rows a second, over the last half minute."""

    def render(self, task: Task) -> Text:
        """The rate, or a dash before there is one."""
        speed = task.finished_speed or task.speed
        return Text("–/s" if speed is None else f"{speed:,.0f}/s")


class SendingProgress:
    """One bar a destination; silent where standard error is no terminal.

    Args:
        totals: Rows that are to be sent, by destination.
        console: For tests; default: standard error.
    """

    def __init__(self, totals: Mapping[str, int], console: Console | None = None) -> None:
        console = console or Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            RateColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._totals = totals
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()

    def advance(self, destination: str, rows: int) -> None:
        """Some rows have come to their end."""
        with self._lock:
            task = self._tasks.get(destination)
        if task is not None:
            self._bars.advance(task, rows)

    def __enter__(self) -> Self:
        self._bars.start()
        for destination, total in self._totals.items():
            self._tasks[destination] = self._bars.add_task(destination, total=total)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()
        sys.stderr.flush()
