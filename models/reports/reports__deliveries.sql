-- One row per change of a sealed plan: what was sent to whom, and what came of it.
with

row_outcomes as (

    select * from {{ ref('ledger__row_outcomes') }}

)

select
    -- keys
    plan_id,
    sync_name,
    change_id,
    destination,
    cohort_id,
    key_type,
    key_value,

    -- the change and its outcome
    action,
    outcome,
    coalesce(
        nullif(concat_ws(': ', rejection_code, rejection_text), ''), reason
    ) as reason,
    person_ids,
    anchors,
    request,
    row_position,

    -- times
    planned_at,
    attempted_at,
    if(outcome = 'delivered', settled_at, null) as confirmed_at
from row_outcomes
