-- One row per sealed plan and sync with rows: how many rows it planned, and how many ended in which
-- of the six outcomes.
with

standings as (

    select * from {{ ref('ledger__plan_standings') }}

),

totals as (

    select * from {{ ref('ledger__plan_totals') }}

)

select
    -- keys
    standings.plan_id,
    standings.sync_name,

    -- attributes
    standings.destination,
    standings.cohort_id,
    standings.sync_kind,

    -- how many
    standings.planned_count,
    totals.delivered_count,
    totals.rejected_count,
    totals.unknown_count,
    if(standings.open_outcome = 'held', totals.open_count, 0) as held_count,
    if(standings.open_outcome = 'pending', totals.open_count, 0) as pending_count,
    if(standings.open_outcome = 'superseded', totals.open_count, 0) as superseded_count,

    -- times
    standings.created_at as planned_at,
    totals.confirmed_at
from standings
left join totals
    on standings.plan_id = totals.plan_id and standings.sync_name = totals.sync_name
