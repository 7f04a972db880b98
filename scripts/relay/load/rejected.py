"""Lines that could not be read: collected while files are loaded, then kept with their bytes."""

from collections.abc import Sequence
from datetime import datetime

from duckdb import DuckDBPyConnection

# Temporary table of the files being loaded: source_file, line_number, reason, content.
REJECTED_LINES = "temp.rejected_lines"


def start_rejected_lines(connection: DuckDBPyConnection) -> None:
    """Begin new files: no line is rejected yet."""
    connection.execute(
        f"create or replace temp table {REJECTED_LINES.removeprefix('temp.')}"
        " (source_file varchar, line_number bigint, reason varchar, content blob)"
    )


def keep_rejected_lines(
    connection: DuckDBPyConnection,
    source: str,
    *,
    source_files: Sequence[str],
    load_id: int,
    loaded_at: datetime,
) -> int:
    """Put the files' rejected lines into `raw.rejected_rows`, in place of those of earlier loads.

    Where these are the same, they stay as they were loaded first.

    Returns:
        How many there are.
    """
    count = count_rejected_lines(connection)
    own = {"source": source, "files": list(source_files)}
    ((differences,),) = connection.execute(_DIFFERENCES, own).fetchall()
    if differences:
        connection.execute(
            "delete from raw.rejected_rows"
            " where source = $source and list_contains($files, source_file)",
            own,
        )
        connection.execute(
            "insert into raw.rejected_rows by name"
            " select ? as source, source_file, line_number, reason, content, ? as load_id,"
            f" cast(? as timestamp) as loaded_at from {REJECTED_LINES}"
            " order by source_file, line_number, reason",
            [source, load_id, loaded_at.replace(tzinfo=None).isoformat()],
        )
    return count


def count_rejected_lines(connection: DuckDBPyConnection) -> int:
    """How many lines were rejected since `start_rejected_lines`."""
    ((count,),) = connection.execute(f"select count(*) from {REJECTED_LINES}").fetchall()
    return int(count)


_DIFFERENCES = f"""
    with
    kept as (
        select source_file, line_number, reason, content
        from raw.rejected_rows
        where source = $source and list_contains($files, source_file)
    )
    select
        (select count(*) from (from {REJECTED_LINES} except all from kept))
        + (select count(*) from (from kept except all from {REJECTED_LINES}))
"""
