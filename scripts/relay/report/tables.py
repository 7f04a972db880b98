"""A table for a terminal, as plain text."""

from collections.abc import Iterable, Sequence
from io import StringIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns with their rows under a rule; numbers to the right, nothing cut off."""
    listed = [tuple("" if value is None else value for value in row) for row in rows]
    printed = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        numbers = bool(listed) and all(isinstance(row[index], int) for row in listed)
        printed.add_column(column, justify="right" if numbers else "left", no_wrap=True)
    for row in listed:
        printed.add_row(*(Text(str(value)) for value in row))
    output = StringIO()
    Console(file=output, width=400, color_system=None).print(printed)
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines()).strip("\n") + "\n"
