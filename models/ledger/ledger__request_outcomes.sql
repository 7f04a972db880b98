-- One row per request of a plan and position its lines name (null: all others): what came of it.
-- Where `request` is null it holds for all requests of the sync that have no row of their own.
{{ config(materialized='table') }}

with

told as (

    select * from {{ ref('ledger__told_outcomes') }}

),

-- What is delivered or refused stays so: later lines of the request only repeat it.
summed as (

    select
        plan_id,
        sync_name,
        request,
        row_position,
        max(seq) as last_seq,
        arg_max(outcome, seq) as outcome,
        min(seq) filter (where outcome = 'delivered') as settled_seq,
        arg_min(kind, seq) filter (where outcome = 'delivered') as settled_by,
        min(seq) filter (where outcome = 'rejected') as rejected_seq,
        max(seq) filter (where outcome = 'unknown' and not is_answered) as doubt_seq,
        max(seq) filter (where outcome = 'pending' and decision = 'resend') as resend_seq,
        arg_max(rejection_code, seq) filter (where outcome = 'rejected') as rejection_code,
        arg_max(rejection_text, seq) filter (where outcome = 'rejected') as rejection_text,
        min(written_at) filter (where kind = 'sending') as attempted_at,
        min(written_at) filter (where outcome = 'delivered') as delivered_at,
        min(written_at) filter (where outcome = 'rejected') as rejected_at
    from told
    group by plan_id, sync_name, request, row_position
),

whole_syncs as (

    select * from summed
    where request is null

)

select
    -- keys
    summed.plan_id,
    summed.sync_name,
    summed.request,
    summed.row_position,

    -- attributes
    summed.outcome,
    summed.rejection_code,
    summed.rejection_text,

    -- order: what a person decides of a lost answer holds from when that was lost
    summed.last_seq,
    if(
        summed.settled_by = 'resolved',
        coalesce(summed.doubt_seq, summed.settled_seq),
        summed.settled_seq
    ) as delivered_seq,
    summed.rejected_seq,
    summed.doubt_seq,
    coalesce(summed.resend_seq > summed.doubt_seq, false) as is_resend_decided,

    -- times
    summed.attempted_at,
    coalesce(summed.delivered_at, summed.rejected_at) as settled_at
from summed
-- A later line that speaks for the whole sync speaks for its requests too.
anti join whole_syncs
    on
        summed.plan_id = whole_syncs.plan_id
        and summed.sync_name = whole_syncs.sync_name
        and summed.request is not null
        and summed.last_seq < whole_syncs.last_seq
