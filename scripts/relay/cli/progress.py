"""Progress bars on standard error, on a terminal only: hours or files, bytes, rows."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from relay.load.progress import NoProgress, Progress


class _Amounts(ProgressColumn):
    """Bytes received and rows read so far."""

    def render(self, task: Task) -> Text:
        """`12.3 MB, 45,678 rows`."""
        megabytes = task.fields["received"] / 1_000_000
        return Text(f"{megabytes:,.1f} MB, {task.fields['rows']:,} rows")


class _Shown:
    """A load's progress as one bar; told from several threads."""

    def __init__(self, bars: Bars, unit: str) -> None:
        self._bars = bars
        self._task = bars.add_task(unit, total=None, received=0, rows=0)
        self._received = self._rows = 0

    def expect(self, hours: int) -> None:
        """See `relay.load.progress.Progress`."""
        self._bars.update(self._task, total=hours)

    def advance(self, hours: int) -> None:
        """See `relay.load.progress.Progress`."""
        self._bars.advance(self._task, hours)

    def received(self, size: int) -> None:
        """See `relay.load.progress.Progress`."""
        self._received += size
        self._bars.update(self._task, received=self._received)

    def stored(self, rows: int) -> None:
        """See `relay.load.progress.Progress`."""
        self._rows += rows
        self._bars.update(self._task, rows=self._rows)


@contextmanager
def progress(unit: str) -> Iterator[Progress]:
    """Show a bar while the block runs, where standard error is a terminal.

    Args:
        unit: What is counted, such as `hours`.
    """
    if not sys.stderr.isatty():
        yield NoProgress()
        return
    with Bars(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Amounts(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bars:
        yield _Shown(bars, unit)
