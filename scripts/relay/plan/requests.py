"""Request bodies out of a payload table: SQL cuts and renders, Python only joins the strings.

A body is `body_prefix`, records joined by commas, `body_suffix`; the payload models say all three.
Requests are cut by the destination's limits (seed `request_limits`) on the final bytes, and never
mix phases: nothing is added before what is to be removed has gone.
"""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from duckdb import DuckDBPyConnection

from relay.durable import writing
from relay.errors import PlanError

# Rows that are in memory at one time while bodies are joined.
ROWS_A_BATCH = 50_000


@dataclass(frozen=True)
class Limits:
    """What one request may hold. None: the vendor states no such limit."""

    max_records: int | None
    max_bytes: int | None


def cut_requests(connection: DuckDBPyConnection, payload: str, limits: Limits) -> None:
    """Make the temporary table `sealed_rows`: the rows of `payload`, each with its request.

    Args:
        connection: Open warehouse.
        payload: A query or table of payload rows of one sync (columns of the payload contract).
        limits: The destination's limits.

    Raises:
        PlanError: One record alone is over the byte limit; the message names its key.
    """
    connection.execute(
        f"create or replace temp table payload_rows as select * from {payload} order by position"
    )
    largest, key = connection.execute(
        "select coalesce(max(size), 0), arg_max(key_value, size) from (select key_value,"
        " strlen(record) + strlen(body_prefix) + strlen(body_suffix) as size from payload_rows)"
    ).fetchall()[0]
    max_bytes = limits.max_bytes
    if max_bytes is not None and largest > max_bytes:
        raise PlanError(
            f"the record of key {key!r} alone is {largest} bytes, the destination takes"
            f" {max_bytes} a request; suppress the key or shorten what is mapped"
        )
    # A request is a run of records whose first bytes lie in one stretch of that length, so that the
    # stretch and its last record together stay within the limit.
    stretch = None if max_bytes is None else max(1, max_bytes - largest)
    connection.execute(
        """
        create or replace temp table sealed_rows as
        with chunks as (
            select
                *,
                (row_number() over body - 1) // coalesce($max_records, 9223372036854775807) as chunk
            from payload_rows
            window body as (partition by phase, body_prefix, body_suffix order by position)
        ),
        offsets as (
            select
                *,
                coalesce(sum(strlen(record) + 1) over (
                    partition by phase, body_prefix, body_suffix, chunk order by position
                    rows between unbounded preceding and 1 preceding
                ), 0) // coalesce($stretch, 9223372036854775807) as stretch
            from chunks
        ),
        starts as (
            select
                *,
                min(position) over (
                    partition by phase, body_prefix, body_suffix, chunk, stretch
                ) as first_position
            from offsets
        )
        select
            * exclude (chunk, stretch, first_position),
            cast(dense_rank() over (order by phase, first_position) as bigint) as request,
            cast(row_number() over (
                partition by phase, first_position order by position
            ) - 1 as bigint) as request_position
        from starts
        order by phase, first_position, position
        """,
        {"max_records": limits.max_records, "stretch": stretch},
    )


def write_bodies(connection: DuckDBPyConnection, path: Path) -> int:
    """Write the bodies of `sealed_rows`, one a line in order of request; how many there are."""
    reader = connection.execute(
        "select request, record, body_prefix, body_suffix from sealed_rows"
        " order by request, request_position"
    ).to_arrow_reader(ROWS_A_BATCH)
    written = 0
    open_request: int | None = None
    suffix = ""
    with writing(path) as file:
        for batch in reader:
            for request, start, end in _runs(batch.column("request")):
                records = ",".join(batch.column("record").slice(start, end - start).to_pylist())
                if request == open_request:
                    file.write(f",{records}".encode())
                    continue
                if open_request is not None:
                    file.write(f"{suffix}\n".encode())
                prefix = batch.column("body_prefix")[start].as_py()
                suffix = batch.column("body_suffix")[start].as_py()
                file.write(f"{prefix}{records}".encode())
                open_request = request
                written += 1
        if open_request is not None:
            file.write(f"{suffix}\n".encode())
    return written


def _runs(requests: pa.Array) -> list[tuple[int, int, int]]:
    """Request number, first and last row (exclusive) of each run of equal numbers."""
    encoded = pc.run_end_encode(requests)
    ends = encoded.run_ends.to_pylist()
    starts = [0, *ends[:-1]]
    return list(zip(encoded.values.to_pylist(), starts, ends, strict=True))
