-- One row per change of a sealed plan: its outcome, each change in exactly one of the six.
with

plan_rows as (

    select * from {{ ref('stg_ledger__plan_rows') }}

),

-- What is left of a plan is superseded once a later one has the sync's rows, or found none to send.
plan_syncs as (

    select
        *,
        row_number() over (
            partition by sync_name
            order by created_at desc, plan_id desc
        ) = 1 as is_latest_of_sync
    from {{ ref('stg_ledger__plan_syncs') }}
    where has_rows or state = 'empty'

),

requests as (

    select * from {{ ref('ledger__request_outcomes') }}

),

joined as (

    select
        plan_rows.*,
        plan_syncs.destination,
        plan_syncs.delivery,
        plan_syncs.cohort_id,
        plan_syncs.sync_kind,
        plan_syncs.state as sync_state,
        plan_syncs.is_latest_of_sync,
        plan_syncs.created_at,
        requests.last_seq,
        requests.settled_seq,
        requests.doubt_seq,
        requests.is_settled,
        requests.is_in_doubt,
        requests.is_pending,
        requests.is_rejected,
        requests.unknown_positions,
        requests.attempted_at,
        requests.settled_at,
        list_filter(
            requests.rejected,
            lambda one: coalesce(
                struct_extract(one, 'position'), plan_rows.row_position  -- noqa: RF02
            ) = plan_rows.row_position
        )[1] as rejection
    from plan_rows
    inner join plan_syncs
        on plan_rows.plan_id = plan_syncs.plan_id and plan_rows.sync_name = plan_syncs.sync_name
    left join requests
        on
            plan_rows.plan_id = requests.plan_id
            and plan_rows.sync_name = requests.sync_name
            and plan_rows.request = requests.request

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
    case
        when is_settled and (is_rejected or rejection is not null) then 'rejected'
        when is_settled and list_contains(unknown_positions, row_position) then 'unknown'
        when is_settled then 'delivered'
        when is_in_doubt and not is_pending then 'unknown'
        when not is_latest_of_sync then 'superseded'
        when sync_state = 'held' and last_seq is null then 'held'
        else 'pending'
    end as outcome,
    rejection.code as rejection_code,
    rejection.text as rejection_text,
    last_seq,
    settled_seq,
    -- Whether the row may be stored without our knowing: a later refusal does not answer that.
    case
        when is_settled and list_contains(unknown_positions, row_position) then settled_seq
        when is_settled and not is_rejected and rejection is null then null
        else doubt_seq
    end as doubt_seq,

    -- times
    created_at as planned_at,
    attempted_at,
    settled_at
from joined
