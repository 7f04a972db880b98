-- One row per change of a sealed plan: its outcome, each change in exactly one of the six.
with

plan_rows as (

    select * from {{ ref('stg_ledger__plan_rows') }}

),

standings as (

    select * from {{ ref('ledger__plan_standings') }}

),

outcomes as (

    select
        *,
        outcomes as told
    from {{ ref('ledger__request_outcomes') }} as outcomes  -- noqa: AL05

),

joined as (

    select
        plan_rows.*,
        standings.destination,
        standings.delivery,
        standings.cohort_id,
        standings.sync_kind,
        standings.open_outcome,
        standings.created_at,
        coalesce(positions.told, requests.told, whole_syncs.told) as told
    from plan_rows
    inner join standings
        on plan_rows.plan_id = standings.plan_id and plan_rows.sync_name = standings.sync_name
    {{ join_what_was_told('plan_rows') }}

)

select
    -- keys
    plan_id,
    sync_name,
    change_id,
    request,
    row_position,

    -- the change
    destination,
    delivery,
    cohort_id,
    cohort_name,
    sync_kind,
    phase,
    action,
    reason,
    key_type,
    key_value,
    match_key,
    payload_hash,
    person_ids,
    anchors,

    -- what came of it
    if(told.outcome != 'pending', told.outcome, open_outcome) as outcome,
    told.rejection_code,
    told.rejection_text,

    -- order
    told.last_seq,
    told.delivered_seq,
    told.rejected_seq,
    told.doubt_seq,
    coalesce(told.is_resend_decided, false) as is_resend_decided,

    -- times
    created_at as planned_at,
    told.attempted_at,
    told.settled_at
from joined
