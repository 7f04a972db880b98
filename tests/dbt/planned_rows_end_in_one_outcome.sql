-- Planned = delivered + rejected + unknown + held + pending + superseded, for each plan and sync.
-- What a plan's manifest counts is what its rows add up to: a row lost or doubled is told here.
{{ config(tags=['each_build']) }}

with

plan_syncs as (

    select
        *,
        coalesce(added_count, 0) + coalesce(removed_count, 0) + coalesce(reasserted_count, 0)
        + coalesce(refreshed_count, 0) + coalesce(renamed_count, 0) as planned_count
    from {{ ref('stg_ledger__plan_syncs') }}
    where has_rows

),

outcomes as (

    select
        plan_id,
        sync_name,
        count(*) filter (where outcome = 'delivered') as delivered_count,
        count(*) filter (where outcome = 'rejected') as rejected_count,
        count(*) filter (where outcome = 'unknown') as unknown_count,
        count(*) filter (where outcome = 'held') as held_count,
        count(*) filter (where outcome = 'pending') as pending_count,
        count(*) filter (where outcome = 'superseded') as superseded_count
    from {{ ref('ledger__row_outcomes') }}
    group by plan_id, sync_name

)

select
    plan_syncs.plan_id,
    plan_syncs.sync_name,
    plan_syncs.planned_count,
    outcomes.delivered_count,
    outcomes.rejected_count,
    outcomes.unknown_count,
    outcomes.held_count,
    outcomes.pending_count,
    outcomes.superseded_count
from plan_syncs
left join outcomes
    on plan_syncs.plan_id = outcomes.plan_id and plan_syncs.sync_name = outcomes.sync_name
where
    plan_syncs.planned_count is distinct from
    outcomes.delivered_count + outcomes.rejected_count + outcomes.unknown_count
    + outcomes.held_count + outcomes.pending_count + outcomes.superseded_count
