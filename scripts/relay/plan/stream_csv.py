"""Rows of a Lytics stream as the CSV that its upload takes: for a hand, not for a request."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from duckdb import DuckDBPyConnection

from relay.durable import writing
from relay.plan.requests import ROWS_A_BATCH, CutRows

_QUOTE = '"'
_NEEDS_QUOTES = re.compile('[,"\r\n]')

# What every row of `amplitude_cohorts` has comes first; then the cohort file's columns by name.
_FIRST = (
    "amplitude_id",
    "user_id",
    "cohort_id",
    "cohort_name",
    "cohort_membership",
    "last_computed",
    "synced_at",
)


def write_stream_csv(connection: DuckDBPyConnection, rows: CutRows, phase: int, path: Path) -> int:
    """Write the records of one phase, a column a field; how many there are.

    UTF-8 with a header, `\\n` at line ends, quoted where needed. A field that a record does not
    have is an empty cell, which Lytics takes for no value (UNVERIFIED for the hosted service).
    Fields whose names differ by case alone are columns of their own.

    Args:
        connection: Open warehouse.
        rows: The rows of a sync, cut; their records are flat JSON objects.
        phase: 1 for removals and ended names, 2 for members.
        path: The file; it is written whole.
    """
    found = {
        str(name)
        for (name,) in connection.execute(
            f"select distinct unnest(json_keys(record)) from {rows.payload} where phase = ?",
            [phase],
        ).fetchall()
    }
    names = [*_FIRST, *sorted(found.difference(_FIRST))]
    # By position, not by name: DuckDB's columns are told apart without case.
    columns = ", ".join(f"record ->> {_pointer(name)} as c{i}" for i, name in enumerate(names))
    reader = connection.execute(
        f"select {columns} from {rows.payload} where phase = ? {rows.order}", [phase]
    ).to_arrow_reader(ROWS_A_BATCH)
    written = 0
    with writing(path) as file:
        file.write(_lines([names]))
        for batch in reader:
            lines = zip(*(column.to_pylist() for column in batch.columns), strict=True)
            file.write(_lines(lines))
            written += batch.num_rows
    return written


def _lines(rows: Iterable[Sequence[str | None]]) -> bytes:
    return "".join(f"{','.join(map(_cell, row))}\n" for row in rows).encode()


def _cell(value: str | None) -> str:
    """A cell; in quotes where it has a comma, a quote or a line break, a lone `\\r` too."""
    if value is None:
        return ""
    return f'"{value.replace(_QUOTE, _QUOTE * 2)}"' if _NEEDS_QUOTES.search(value) else value


def _pointer(name: str) -> str:
    """The JSON pointer to a member, as an SQL literal."""
    path = name.replace("~", "~0").replace("/", "~1").replace("'", "''")
    return f"'/{path}'"
