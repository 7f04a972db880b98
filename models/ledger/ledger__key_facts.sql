-- One row per change of a cohort sync's plan that the ledger tells of: what it says of its key.
with

row_outcomes as (

    select * from {{ ref('ledger__row_outcomes') }}
    where
        sync_kind = 'cohort_sync'
        and coalesce(delivered_seq, doubt_seq, rejected_seq) is not null

)

select
    -- keys
    sync_name,
    {{ segment_of('destination', 'cohort_id', 'cohort_name') }} as segment,
    key_type,
    match_key,

    -- order
    delivered_seq,
    doubt_seq,
    rejected_seq,
    phase,

    -- what the destination has, may have or refused
    if(delivered_seq is null, null, action) as delivered_action,
    if(delivered_seq is null, null, payload_hash) as delivered_payload_hash,
    is_resend_decided,
    if(rejected_seq is null, null, payload_hash) as rejected_payload_hash,
    rejection_code,
    rejection_text,
    key_value,
    cohort_name,
    person_ids,
    anchors,

    -- lineage
    plan_id,
    last_seq
from row_outcomes
