-- One row per request of a plan that the ledger knows: what came of it so far.
with

lines as (

    select * from {{ ref('stg_ledger__lines') }}
    where plan_id is not null

),

plan_rows as (

    select * from {{ ref('stg_ledger__plan_rows') }}

),

-- A line without a request (confirmed by hand, adopted, resolved whole) speaks for all of its sync.
whole_syncs as (

    select * from lines
    where request is null and kind in ('confirmed', 'adopted', 'resolved')

),

requests_of_whole_syncs as (

    select distinct
        whole_syncs.seq,
        plan_rows.request
    from whole_syncs
    inner join plan_rows
        on
            whole_syncs.plan_id = plan_rows.plan_id
            and whole_syncs.sync_name = plan_rows.sync_name

),

per_request as (

    select * from lines
    where request is not null
    union all
    select whole_syncs.* replace (requests_of_whole_syncs.request as request)
    from whole_syncs
    inner join requests_of_whole_syncs
        on whole_syncs.seq = requests_of_whole_syncs.seq

),

in_order as (

    select
        *,
        lead(kind) over (
            partition by plan_id, sync_name, request
            order by seq
        ) as next_kind
    from per_request

),

-- A line lists rows in doubt (of them some are known to be pending still); where it settles nothing
-- and lists nothing, it speaks of all rows that were not refused (scripts/relay/apply/state.py).
judged as (

    select
        *,
        coalesce(unknown_positions, []) as listed,
        kind in ('confirmed', 'adopted')
        or (kind = 'resolved' and decision = 'delivered')
        or (kind = 'answered' and outcome in ('delivered', 'rejected')) as is_settling,
        -- What was sent and not answered, or answered so that nobody knows, may be stored.
        (kind = 'sending' and next_kind is distinct from 'answered')
        or (kind = 'answered' and outcome = 'unknown') as is_doubtful
    from in_order

),

summed as (

    select
        plan_id,
        sync_name,
        request,
        max(seq) as last_seq,
        arg_max(
            {
                'is_settling': is_settling,
                'refuses_all': kind = 'answered' and outcome = 'rejected',
                'is_pending': coalesce(outcome = 'not_processed', false)
                or coalesce(decision = 'resend', false),
                'listed': listed,
                'pending': pending_positions,
                'rejected': coalesce(rejected, []),
                'written_at': written_at
            },
            seq
        ) as last_line,
        arg_min(
            { 'seq': seq, 'listed': listed, 'written_at': written_at }, seq
        ) filter (where is_settling) as first_settled,
        list({ 'seq': seq, 'listed': listed } order by seq) filter (
            where is_doubtful or (kind = 'answered' and outcome = 'delivered' and listed != [])
        ) as doubts,
        min(written_at) filter (where kind = 'sending') as attempted_at,
        count(*) filter (where kind = 'sending') as attempts_count,
        arg_max(http_status, seq) as http_status
    from judged
    group by plan_id, sync_name, request

)

select
    plan_id,
    sync_name,
    request,
    last_seq,
    last_line,
    first_settled,
    doubts,
    http_status,
    attempts_count,
    attempted_at
from summed
