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

-- What a line says: the request is settled, or may have been stored without us knowing.
judged as (

    select
        *,
        kind in ('confirmed', 'adopted')
        or (kind = 'resolved' and decision = 'delivered')
        or (kind = 'answered' and outcome in ('delivered', 'rejected')) as is_settling,
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
        arg_max(kind, seq) as last_kind,
        arg_max(outcome, seq) as last_outcome,
        arg_max(decision, seq) as last_decision,
        arg_max(written_at, seq) as last_at,
        min(written_at) filter (where kind = 'sending') as attempted_at,
        count(*) filter (where kind = 'sending') as attempts_count,
        arg_max(http_status, seq) as http_status,
        max(seq) filter (where is_doubtful) as doubt_seq,
        max(seq) filter (where is_settling) as settled_seq,
        arg_max(
            {
                'is_rejected': kind = 'answered' and outcome = 'rejected',
                'rejected': rejected,
                'unknown_positions': unknown_positions,
                'written_at': written_at
            },
            seq
        ) filter (where is_settling) as settled
    from judged
    group by plan_id, sync_name, request

)

select
    plan_id,
    sync_name,
    request,
    last_seq,
    doubt_seq,
    settled_seq,
    coalesce(settled_seq, 0) > coalesce(doubt_seq, 0) as is_settled,
    coalesce(doubt_seq, 0) > coalesce(settled_seq, 0) as is_in_doubt,
    (last_kind = 'resolved' and last_decision = 'resend')
    or (last_kind = 'answered' and last_outcome = 'not_processed') as is_pending,
    coalesce(settled.is_rejected, false) as is_rejected,
    settled.rejected,
    settled.unknown_positions,
    http_status,
    attempts_count,
    attempted_at,
    settled.written_at as settled_at,
    last_at
from summed
