-- One row per request of a plan that the ledger knows and position it names (null: all others): what came of it.
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

)

select
    -- keys
    plan_id,
    sync_name,
    request,
    row_position,

    -- attributes
    outcome,
    rejection_code,
    rejection_text,

    -- order: what a person decides of a lost answer holds from when that was lost
    last_seq,
    if(settled_by = 'resolved', coalesce(doubt_seq, settled_seq), settled_seq) as delivered_seq,
    rejected_seq,
    doubt_seq,
    coalesce(resend_seq > doubt_seq, false) as is_resend_decided,

    -- times
    attempted_at,
    coalesce(delivered_at, rejected_at) as settled_at
from summed
