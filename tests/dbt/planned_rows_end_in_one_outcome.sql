-- Planned = delivered + rejected + unknown + held + pending + superseded, for each plan and sync.
-- What was sealed is in the manifest; a row that is lost or doubled on the way is told here.
{{ config(tags=['each_build']) }}

with

plan_outcomes as (

    select * from {{ ref('ledger__plan_outcomes') }}

)

select *
from plan_outcomes
where
    planned_count is distinct from
    delivered_count + rejected_count + unknown_count + held_count + pending_count
    + superseded_count
