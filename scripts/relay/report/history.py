"""What was planned and what came of it: one entry per plan and sync, newest first."""

from typing import Any

from duckdb import DuckDBPyConnection

from relay import warehouse

_HISTORY = """
select
    plan_id,
    sync_name as sync,
    destination,
    planned_count as planned,
    delivered_count as delivered,
    rejected_count as rejected,
    unknown_count as unknown,
    held_count as held,
    pending_count as pending,
    superseded_count as superseded,
    planned_at,
    confirmed_at
from ledger.plan_outcomes
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
    entries = warehouse.fetch(connection, _HISTORY, [limit])
    for entry in entries:
        for name in ("planned_at", "confirmed_at"):
            if entry[name] is not None:
                entry[name] = entry[name].isoformat() + "Z"
    return entries
