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
        requests.last_line,
        requests.first_settled,
        requests.doubts,
        requests.attempted_at,
        -- A refusal without a position is of the whole request.
        list_filter(
            requests.last_line.rejected,  -- noqa: RF01
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

),

-- The last line of a request tells everything about its rows.
told as (

    select
        *,
        last_seq is not null and (last_line.refuses_all or rejection is not null) as is_rejected,
        coalesce(
            list_contains(last_line.listed, row_position)
            or (last_line.listed = [] and not last_line.is_settling),
            true
        ) as is_open,
        coalesce(
            last_line.is_pending or list_contains(last_line.pending, row_position), true
        ) as is_pending,
        list_max(list_transform(
            list_filter(
                doubts,
                lambda doubt: struct_extract(doubt, 'listed') = []  -- noqa: RF02
                or list_contains(struct_extract(doubt, 'listed'), row_position)  -- noqa: RF02
            ),
            lambda doubt: struct_extract(doubt, 'seq')  -- noqa: RF02
        )) as last_doubt_seq
    from joined

),

judged as (

    select
        *,
        case
            when is_rejected then 'rejected'
            when not is_open then 'delivered'
            when not is_pending then 'unknown'
            when not is_latest_of_sync then 'superseded'
            when sync_state = 'held' and last_seq is null then 'held'
            else 'pending'
        end as outcome,
        -- Delivered with the first answer that settled it, whatever became of its neighbours later.
        coalesce(list_contains(first_settled.listed, row_position), true) as settled_later
    from told

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
    outcome,
    rejection.code as rejection_code,
    rejection.text as rejection_text,
    last_seq,
    case
        when outcome in ('delivered', 'rejected')
            then if(settled_later, last_seq, first_settled.seq)
    end as settled_seq,
    -- Whether the row may be stored without our knowing: a later refusal does not answer that.
    if(outcome = 'delivered', null, last_doubt_seq) as doubt_seq,

    -- times
    created_at as planned_at,
    attempted_at,
    case
        when outcome in ('delivered', 'rejected')
            then if(settled_later, last_line.written_at, first_settled.written_at)
    end as settled_at
from judged
