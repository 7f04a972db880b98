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

approvals as (

    select distinct
        plan_id,
        sync_name
    from {{ ref('stg_ledger__lines') }}
    where kind = 'approved'

),

outcomes as (

    select * from {{ ref('ledger__request_outcomes') }}

),

of_whole_syncs as (

    select
        plan_id,
        sync_name,
        outcomes as told
    from outcomes
    where request is null and row_position is null

),

of_requests as (

    select
        plan_id,
        sync_name,
        request,
        outcomes as told
    from outcomes
    where request is not null and row_position is null

),

of_positions as (

    select
        plan_id,
        sync_name,
        request,
        row_position,
        outcomes as told
    from outcomes
    where request is not null and row_position is not null

),

joined as (

    select
        plan_rows.*,
        plan_syncs.destination,
        plan_syncs.delivery,
        plan_syncs.cohort_id,
        plan_syncs.sync_kind,
        plan_syncs.is_latest_of_sync,
        plan_syncs.state = 'held' and approvals.plan_id is null as is_held,
        plan_syncs.created_at,
        if(
            of_whole_syncs.told.last_seq > coalesce(of_requests.told.last_seq, 0),
            of_whole_syncs.told,
            coalesce(of_positions.told, of_requests.told)
        ) as told
    from plan_rows
    inner join plan_syncs
        on plan_rows.plan_id = plan_syncs.plan_id and plan_rows.sync_name = plan_syncs.sync_name
    left join approvals
        on plan_rows.plan_id = approvals.plan_id and plan_rows.sync_name = approvals.sync_name
    left join of_whole_syncs
        on
            plan_rows.plan_id = of_whole_syncs.plan_id
            and plan_rows.sync_name = of_whole_syncs.sync_name
    left join of_requests
        on
            plan_rows.plan_id = of_requests.plan_id
            and plan_rows.sync_name = of_requests.sync_name
            and plan_rows.request = of_requests.request
    left join of_positions
        on
            plan_rows.plan_id = of_positions.plan_id
            and plan_rows.sync_name = of_positions.sync_name
            and plan_rows.request = of_positions.request
            and plan_rows.row_position = of_positions.row_position

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
        when told.outcome in ('delivered', 'rejected', 'unknown') then told.outcome
        when not is_latest_of_sync then 'superseded'
        when is_held then 'held'
        else 'pending'
    end as outcome,
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
