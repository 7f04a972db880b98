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

    Returns:
        How many there are.
    """
    connection.execute(
        "delete from raw.rejected_rows where source = ? and list_contains(?, source_file)",
        [source, list(source_files)],
    )
    ((count,),) = connection.execute(
        "insert into raw.rejected_rows by name"
        " select ? as source, source_file, line_number, reason, content, ? as load_id,"
        f" cast(? as timestamp) as loaded_at from {REJECTED_LINES}"
        " order by source_file, line_number, reason",
        [source, load_id, loaded_at.replace(tzinfo=None).isoformat()],
    ).fetchall()
    return int(count)
