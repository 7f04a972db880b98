-- One row per sync, segment and key that is confirmed there, in doubt or parked.
with

states as (

    select * from {{ ref('ledger__key_states') }}

),

judged as (

    select
        *,
        -- Nearly every key was only ever delivered, and is judged by what it never was.
        delivered_action is not null and delivered_action != 'removed' as is_confirmed,
        doubt_seq is not null and doubt_seq > coalesce(delivered_seq, 0) as is_in_doubt,
        rejected_seq is not null
        and rejected_seq > greatest(coalesce(delivered_seq, 0), coalesce(doubt_seq, 0)) as is_parked
    from states

)

select
    -- keys
    sync_name,
    segment,
    key_type,
    match_key,
    key_hash,

    -- what the destination has, or may have
    key_value,
    cohort_name,
    person_ids,
    anchors,
    is_confirmed,
    is_in_doubt,
    -- A person has decided that what is in doubt goes again.
    is_in_doubt and is_resend_decided as is_resend_decided,
    delivered_payload_hash,
    delivered_seq,

    -- what it refused
    is_parked,
    rejected_payload_hash,
    rejection_code,
    rejection_text
from judged
where is_confirmed or is_in_doubt or is_parked
