-- One row per sync, segment and key that is confirmed there, in doubt or parked.
with

states as (

    select * from {{ ref('ledger__key_states') }}

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
    list_concat([person_id], further_person_ids) as person_ids,
    list_concat([anchor], further_anchors) as anchors,
    is_confirmed,
    is_in_doubt,
    -- A person has decided that what is in doubt goes again.
    is_in_doubt and is_resend_decided as is_resend_decided,
    doubt_seq,
    delivered_payload_hash,
    delivered_seq,

    -- what it refused
    is_parked,
    rejected_payload_hash,
    rejection_code,
    rejection_text
from states
where is_gone = false
