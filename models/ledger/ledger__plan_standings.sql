-- One row per sealed plan and sync with rows: what becomes of those that its ledger left open.
with

-- What is left of a plan is superseded once a later one has the sync's rows, or a later look found
-- none to send, or no snapshot to go by.
plan_syncs as (

    select
        *,
        row_number() over (
            partition by sync_name
            order by created_at desc, plan_id desc
        ) = 1 as is_latest_of_sync
    from {{ ref('stg_ledger__plan_syncs') }}
    where has_rows or (state in ('empty', 'no_snapshot') and plan_kind != 'trial')

),

ends as (

    select
        sync_name,
        max(seq) as ended_seq
    from {{ ref('stg_ledger__lines') }}
    where
        kind in ('checked', 'superseded')
        or (kind = 'adopted' and plan_id is null)
    group by sync_name

),

approvals as (

    select distinct
        plan_id,
        sync_name
    from {{ ref('stg_ledger__lines') }}
    where kind = 'approved'

)

select
    -- keys
    plan_syncs.plan_id,
    plan_syncs.sync_name,

    -- attributes
    plan_syncs.destination,
    plan_syncs.delivery,
    plan_syncs.cohort_id,
    plan_syncs.sync_kind,
    plan_syncs.planned_count,
    case
        when
            not plan_syncs.is_latest_of_sync
            or coalesce(ends.ended_seq, 0) > plan_syncs.ledger_seq
            then 'superseded'
        when plan_syncs.state = 'held' and approvals.plan_id is null then 'held'
        else 'pending'
    end as open_outcome,

    -- times
    plan_syncs.created_at
from plan_syncs
left join approvals
    on plan_syncs.plan_id = approvals.plan_id and plan_syncs.sync_name = approvals.sync_name
left join ends
    on plan_syncs.sync_name = ends.sync_name
where plan_syncs.has_rows
