"""What a sealed plan holds, for a person or as a document."""

from itertools import islice
from typing import Any

import duckdb

from relay.errors import PlanError
from relay.plan.manifest import Plan, PlanSync
from relay.report.tables import table

_ROW_COLUMNS = ("request", "position", "action", "reason", "key_type", "key_value", "match_key")


def show_plan(plan: Plan, sync: str | None, limit: int) -> tuple[dict[str, Any], str]:
    """Counts, first rows and first request bodies of every sync, or of the one named.

    Args:
        plan: Read and checked.
        sync: Name of one of its syncs; None: all.
        limit: How many rows and how many bodies.

    Returns:
        The document and the text of the same.

    Raises:
        PlanError: The plan has no such sync.
    """
    names = [one.name for one in plan.syncs]
    if sync is not None and sync not in names:
        raise PlanError(f"plan {plan.plan_id} has no sync {sync!r}; it has {', '.join(names)}")
    shown = [one for one in plan.syncs if sync in (None, one.name)]
    parts = [_show_sync(plan, one, limit) for one in shown]
    document = {
        "plan_id": plan.plan_id,
        "plan_hash": plan.plan_hash,
        "kind": plan.kind,
        "created_at": plan.created_at,
        "undoes": plan.undoes,
        "syncs": [part[0] for part in parts],
    }
    return document, "\n".join(part[1] for part in parts)


def _show_sync(plan: Plan, sync: PlanSync, limit: int) -> tuple[dict[str, Any], str]:
    rows_file = plan.file(sync.name, "rows")
    bodies_file = plan.file(sync.name, "requests")
    rows: list[dict[str, Any]] = []
    if rows_file is not None:
        cursor = duckdb.connect().execute(
            f"select {', '.join(_ROW_COLUMNS)} from read_parquet(?)"
            " order by request, position limit ?",
            [str(plan.folder / rows_file.path), limit],
        )
        rows = [dict(zip(_ROW_COLUMNS, values, strict=True)) for values in cursor.fetchall()]
    bodies: list[str] = []
    if bodies_file is not None:
        with (plan.folder / bodies_file.path).open(encoding="utf-8") as file:
            bodies = [line.rstrip("\n") for line in islice(file, limit)]
    requests = bodies_file.requests if bodies_file else 0
    document = {**vars(sync), "requests": requests, "rows": rows, "bodies": bodies}
    further = {
        "refreshed": sync.refreshed,
        "renamed": sync.renamed,
        "stitched": sync.stitched,
    }
    also = "".join(f" {number} {name}," for name, number in further.items() if number)
    counts = (
        f"{sync.name} -> {sync.destination}: {sync.added} added, {sync.removed} removed,"
        f" {sync.reasserted} re-asserted,{also} {sync.unchanged} unchanged, in {requests} requests;"
        f" {sync.state}{'' if sync.reason is None else ': ' + sync.reason}"
    )
    shown = table(_ROW_COLUMNS, [tuple(row.values()) for row in rows]) if rows else ""
    return document, "\n".join([counts, shown, *bodies, ""])
