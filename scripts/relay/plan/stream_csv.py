"""Rows of a Lytics stream as the CSV that its upload takes: for a hand, not for a request."""

from pathlib import Path

import polars as pl
from duckdb import DuckDBPyConnection

from relay.durable import writing
from relay.plan.requests import ROWS_A_BATCH, CutRows

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
    have is an empty cell, which Lytics takes for no value (UNVERIFIED for the hosted service); an
    empty text is two quotes.
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
        pl.DataFrame(schema=names).write_csv(file)
        for batch in reader:
            pl.DataFrame(batch).write_csv(file, include_header=False)
            written += batch.num_rows
    return written


def _pointer(name: str) -> str:
    """The JSON pointer to a member, as an SQL literal."""
    path = name.replace("~", "~0").replace("/", "~1").replace("'", "''")
    return f"'/{path}'"
