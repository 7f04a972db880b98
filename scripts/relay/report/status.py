"""How each sync stands: last run, next run, members, and what waits, is parked or in doubt."""

from datetime import UTC, datetime
from typing import Any

from duckdb import DuckDBPyConnection

from relay import warehouse
from relay.plan.schedule import is_due
from relay.settings import Settings

_STATUS = """
with
open_rows as (
    select
        sync_name,
        cast(sum(pending_count) as bigint) as pending,
        cast(sum(held_count) as bigint) as held
    from ledger.plan_outcomes
    group by sync_name
),
keys as (
    select
        sync_name,
        count(*) filter (where is_confirmed) as confirmed,
        count(*) filter (where is_in_doubt) as unknown,
        count(*) filter (where is_parked) as parked
    from ledger.confirmed_keys
    group by sync_name
),
rejections as (
    select
        sync_name,
        count(*) filter (where times >= 3) as rejected_three_times
    from (
        select
            refused.sync_name,
            refused.key_type,
            refused.match_key,
            refused.rejection_code,
            count(*) as times
        from ledger.row_outcomes as refused
        inner join ledger.confirmed_keys as parked
            on refused.sync_name = parked.sync_name
            and refused.key_type = parked.key_type
            and refused.match_key = parked.match_key
            and refused.payload_hash = parked.rejected_payload_hash
        where refused.outcome = 'rejected' and parked.is_parked
        group by all
    )
    group by sync_name
)
select
    syncs.sync_name as name,
    syncs.config_name,
    syncs.kind,
    syncs.destination,
    syncs.frequency,
    syncs.is_enabled,
    coalesce(ledger_syncs.is_paused, false) as is_paused,
    totals.state,
    totals.reason,
    -- A name that was chosen stays whatever Amplitude calls the cohort.
    if(syncs.segment_name is null, totals.snapshot_cohort_name, null) as snapshot_cohort_name,
    totals.cohort_name,
    coalesce(totals.members_count, 0) as members,
    coalesce(keys.confirmed, 0) as confirmed,
    coalesce(open_rows.pending, 0) as pending,
    coalesce(open_rows.held, 0) as held,
    coalesce(keys.unknown, 0) as unknown,
    coalesce(keys.parked, 0) as parked,
    coalesce(rejections.rejected_three_times, 0) as rejected_three_times,
    ledger_syncs.last_run_at,
    ledger_syncs.last_plan_id
from staging.stg_relay__syncs as syncs
left join cohorts.sync_totals as totals on syncs.sync_name = totals.sync_name
left join ledger.syncs as ledger_syncs on syncs.sync_name = ledger_syncs.sync_name
left join open_rows on syncs.sync_name = open_rows.sync_name
left join keys on syncs.sync_name = keys.sync_name
left join rejections on syncs.sync_name = rejections.sync_name
order by syncs.position, syncs.sync_name
"""


def status(connection: DuckDBPyConnection, settings: Settings) -> list[dict[str, Any]]:
    """One entry per configured sync, in the order of syncs.yml.

    Args:
        connection: The analysts' copy, open for reading.
        settings: For the schedule of each sync and the clock.

    Returns:
        Entries with `name`, `destination`, `state`, `last_run_at`, `next_run_at`, `members`,
        `confirmed`, `pending`, `held`, `unknown`, `parked` and `notes` (what a person should know).
    """
    now = settings.now()
    by_name = {sync.name: sync for sync in settings.config.syncs}
    entries = []
    for entry in warehouse.fetch(connection, _STATUS):
        config = by_name.get(entry.pop("config_name"))
        last_run = entry.pop("last_run_at")
        last_run_at: datetime | None = None if last_run is None else last_run.replace(tzinfo=UTC)
        due = None
        if config is not None:
            zone = settings.zone_of(config)
            due = is_due(config, last_run=last_run_at, now=now, zone=zone)
        next_run_at = now if due is not None and due.is_due else due and due.next_run_at
        entry["last_run_at"] = None if last_run_at is None else last_run_at.isoformat()
        entry["next_run_at"] = next_run_at.isoformat() if next_run_at else None
        entry["notes"] = _notes(entry)
        entries.append(entry)
    return entries


def _notes(entry: dict[str, Any]) -> list[str]:
    """What of a sync needs a person's eye."""
    notes = []
    if not entry.pop("is_enabled"):
        notes.append("not enabled")
    is_paused = entry.pop("is_paused")
    if is_paused:
        notes.append("paused until relay resume")
    if entry["state"] in ("held", "no_snapshot") and not is_paused:
        notes.append(f"{entry['state']}: {entry['reason']}")
    three_times = entry.pop("rejected_three_times")
    if three_times:
        notes.append(f"{three_times} rows were rejected three times with the same answer")
    name, listed = entry.pop("cohort_name"), entry.pop("snapshot_cohort_name")
    if name is not None and listed is not None and name != listed:
        notes.append(f"Amplitude now calls the cohort {listed!r}; the segment stays {name!r}")
    if entry["unknown"]:
        notes.append(f"{entry['unknown']} keys are in doubt")
    return notes
