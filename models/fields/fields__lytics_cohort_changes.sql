-- One row per change of a Lytics segment that counts: pending, delivered, or delivered perhaps.
{{ config(materialized='view') }}

with

changes as (

    select * from {{ ref('fields__lytics_pending_changes') }}

),

syncs as (

    select * from {{ ref('cohorts__current_syncs') }}

),

run as (

    select * from {{ ref('stg_relay__run') }}

),

row_outcomes as (

    select * from {{ ref('ledger__row_outcomes') }}
    where
        destination = 'lytics'
        and sync_kind = 'cohort_sync'
        and outcome in ('delivered', 'unknown')

),

plan_syncs as (

    select * from {{ ref('stg_ledger__plan_syncs') }}

),

snapshots as (

    select * from {{ ref('stg_amplitude__cohort_snapshots') }}

),

pending as (

    select
        true as is_pending,
        changes.change_id as row_id,
        changes.sync_name,
        changes.cohort_id,
        changes.cohort_name,
        changes.phase,
        changes.action,
        changes.key_type,
        changes.key_value,
        syncs.last_computed_at,
        run.planned_at
    from changes
    cross join run
    inner join syncs
        on changes.sync_name = syncs.sync_name

),

sent as (

    select
        false as is_pending,
        row_outcomes.plan_id || ' ' || row_outcomes.change_id as row_id,
        row_outcomes.sync_name,
        row_outcomes.cohort_id,
        row_outcomes.cohort_name,
        row_outcomes.phase,
        row_outcomes.action,
        row_outcomes.key_type,
        row_outcomes.key_value,
        snapshots.last_computed_at,
        row_outcomes.planned_at
    from row_outcomes
    left join plan_syncs
        on
            row_outcomes.plan_id = plan_syncs.plan_id
            and row_outcomes.sync_name = plan_syncs.sync_name
    left join snapshots
        on plan_syncs.snapshot_id = snapshots.snapshot_id

),

both_kinds as (

    select * from pending
    union all
    select * from sent

)

select
    * exclude (planned_at),
    -- Additions follow removals by a second: Lytics goes by the time of a row, not of its arrival.
    date_trunc('second', planned_at) + to_seconds(phase - 1) as synced_at
from both_kinds
