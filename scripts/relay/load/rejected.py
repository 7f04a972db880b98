"""Lines that could not be read: collected while a file is loaded, then kept with their bytes."""

from datetime import datetime

from duckdb import DuckDBPyConnection

# Temporary table of the file being loaded: line_number, reason, content.
REJECTED_LINES = "temp.rejected_lines"


def start_rejected_lines(connection: DuckDBPyConnection) -> None:
    """Begin a new file: no line is rejected yet."""
    connection.execute(
        f"create or replace temp table {REJECTED_LINES.removeprefix('temp.')}"
        " (line_number bigint, reason varchar, content blob)"
    )


def keep_rejected_lines(
    connection: DuckDBPyConnection,
    source: str,
    *,
    source_file: str,
    load_id: int,
    loaded_at: datetime,
) -> int:
    """Put the file's rejected lines into `raw.rejected_rows`, in place of those of an earlier load.

    Returns:
        How many there are.
    """
    connection.execute(
        "delete from raw.rejected_rows where source = ? and source_file = ?", [source, source_file]
    )
    ((count,),) = connection.execute(
        "insert into raw.rejected_rows by name"
        " select ? as source, ? as source_file, line_number, reason, content, ? as load_id,"
        f" cast(? as timestamp) as loaded_at from {REJECTED_LINES} order by line_number, reason",
        [source, source_file, load_id, loaded_at.replace(tzinfo=None).isoformat()],
    ).fetchall()
    return int(count)
