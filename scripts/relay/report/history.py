"""What was planned and what came of it: one entry per plan and sync, newest first."""

from typing import Any

from duckdb import DuckDBPyConnection

_HISTORY = """
select
    plan_id,
    sync_name as sync,
    destination,
    count(*) as planned,
    count(*) filter (where outcome = 'delivered') as delivered,
    count(*) filter (where outcome = 'rejected') as rejected,
    count(*) filter (where outcome = 'unknown') as unknown,
    count(*) filter (where outcome = 'held') as held,
    count(*) filter (where outcome = 'pending') as pending,
    count(*) filter (where outcome = 'superseded') as superseded,
    min(planned_at) as planned_at,
    max(confirmed_at) as confirmed_at
from reports.deliveries
group by all
order by planned_at desc, plan_id desc, sync_name
limit ?
"""


def history(connection: DuckDBPyConnection, limit: int) -> list[dict[str, Any]]:
    """The newest entries.

    Args:
        connection: The analysts' copy, open for reading.
        limit: How many.

    Returns:
        Entries whose outcomes add up to `planned`; times in ISO 8601, UTC.
    """
    cursor = connection.execute(_HISTORY, [limit])
    columns = [column[0] for column in cursor.description or []]
    entries = [dict(zip(columns, values, strict=True)) for values in cursor.fetchall()]
    for entry in entries:
        for name in ("planned_at", "confirmed_at"):
            if entry[name] is not None:
                entry[name] = entry[name].isoformat() + "Z"
    return entries
