-- One row per sync, segment and key that is confirmed there, in doubt or parked.
{{ config(materialized='table') }}

with

facets as (

    select * from {{ ref('ledger__key_states') }}

),

pivoted as (

    select
        sync_name,
        segment,
        key_type,
        match_key,
        coalesce(max(seq) filter (where facet = 'delivered'), 0) as delivered_seq,
        coalesce(max(seq) filter (where facet = 'doubt'), 0) as doubt_seq,
        coalesce(max(seq) filter (where facet = 'rejected'), 0) as rejected_seq,
        any_value(action) filter (where facet = 'delivered') as delivered_action,
        any_value(payload_hash) filter (where facet = 'delivered') as delivered_payload_hash,
        any_value(payload_hash) filter (where facet = 'rejected') as rejected_payload_hash,
        any_value(rejection_code) filter (where facet = 'rejected') as rejection_code,
        any_value(rejection_text) filter (where facet = 'rejected') as rejection_text,
        -- A rejected row says nothing of what the destination has, so it names nobody.
        arg_max(key_value, seq) filter (where facet != 'rejected') as key_value,
        arg_max(cohort_name, seq) filter (where facet != 'rejected') as cohort_name,
        arg_max(person_ids, seq) filter (where facet != 'rejected') as person_ids,
        arg_max(anchors, seq) filter (where facet != 'rejected') as anchors
    from facets
    group by sync_name, segment, key_type, match_key

),

judged as (

    select
        *,
        coalesce(delivered_action != 'removed', false) as is_confirmed,
        -- A refusal ends no doubt: what went unanswered before it may still be there.
        doubt_seq > delivered_seq as is_in_doubt,
        rejected_seq > greatest(delivered_seq, doubt_seq) as is_parked
    from pivoted

)

select
    sync_name,
    segment,
    key_type,
    match_key,
    key_value,
    cohort_name,
    person_ids,
    anchors,
    is_confirmed,
    is_in_doubt,
    is_parked,
    delivered_payload_hash,
    rejected_payload_hash,
    rejection_code,
    rejection_text,
    delivered_seq
from judged
where is_confirmed or is_in_doubt or is_parked
