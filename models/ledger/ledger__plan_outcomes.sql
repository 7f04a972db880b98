-- One row per sealed plan and sync with rows: how many rows it planned, and how many ended in which
-- of the six outcomes.
with

standings as (

    select * from {{ ref('ledger__plan_standings') }}

),

totals as (

    select * from {{ ref('ledger__plan_totals') }}

),

-- A plan that was sealed after the last build is not counted yet: all of it is open.
counted as (

    select
        standings.*,
        coalesce(totals.delivered_count, 0) as delivered_count,
        coalesce(totals.rejected_count, 0) as rejected_count,
        coalesce(totals.unknown_count, 0) as unknown_count,
        coalesce(totals.open_count, standings.planned_count) as open_count,
        totals.confirmed_at
    from standings
    left join totals
        on standings.plan_id = totals.plan_id and standings.sync_name = totals.sync_name

)

select
    -- keys
    plan_id,
    sync_name,

    -- attributes
    destination,
    cohort_id,
    sync_kind,

    -- how many
    planned_count,
    delivered_count,
    rejected_count,
    unknown_count,
    if(open_outcome = 'held', open_count, 0) as held_count,
    if(open_outcome = 'pending', open_count, 0) as pending_count,
    if(open_outcome = 'superseded', open_count, 0) as superseded_count,

    -- times
    created_at as planned_at,
    confirmed_at
from counted
