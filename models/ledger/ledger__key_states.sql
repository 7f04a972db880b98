-- One row per sync, segment and key that the ledger tells of: when it was last delivered, in doubt and refused.
{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['sync_name', 'segment', 'key_type', 'match_key'],
        pre_hook="{{ forget_other_generations(this) }}"
    )
}}
{% set key = ['sync_name', 'segment', 'key_type', 'match_key'] | join(', ') -%}

with

lines as (

    select * from {{ ref('stg_ledger__lines') }}

),

all_facts as (

    select * from {{ ref('ledger__key_facts') }}

),

{% if is_incremental() %}
-- Only what the ledger said since this table was last built. A build never falls between a request
-- and its answer: whoever sends holds the lock.
progress as (

    select coalesce(max(last_seq), 0) as last_seq from {{ this }}

),

plans_heard_of as (

    select distinct
        lines.plan_id,
        lines.sync_name
    from lines
    inner join progress
        on lines.seq > progress.last_seq

),

new_facts as (

    select all_facts.*
    from all_facts
    inner join progress
        on all_facts.last_seq > progress.last_seq
    semi join plans_heard_of
        on
            all_facts.plan_id = plans_heard_of.plan_id
            and all_facts.sync_name = plans_heard_of.sync_name

),

-- What is known of a key is one fact more.
facts as (

    select * from new_facts
    union all by name
    select
        states.* exclude (generation),
        0 as phase
    from {{ this }} as states
    semi join new_facts
        using ({{ key }})

),

{% else %}
facts as (

    select * from all_facts

),

{% endif %}
hashed as (

    select
        *,
        hash({{ key }}) as key_hash
    from facts

),

-- Nearly every key has one fact, which is its state; only the others need an order.
repeated as (

    select key_hash from hashed
    group by key_hash
    having count(*) > 1

),

numbered as materialized (

    select
        hashed.*,
        row_number() over () as fact_number
    from hashed
    semi join repeated
        on hashed.key_hash = repeated.key_hash

),

newest as (

    select
        {{ key }},
        -- In one request removals come first.
        arg_max(fact_number, delivered_seq * 4 + phase) as delivered_number,
        arg_max(fact_number, doubt_seq * 4 + phase) as doubt_number,
        arg_max(fact_number, rejected_seq * 4 + phase) as rejected_number,
        -- A refusal says nothing of what the destination has; the later of the others does.
        coalesce(
            arg_max(fact_number, greatest(delivered_seq, doubt_seq) * 4 + phase),
            arg_max(fact_number, rejected_seq * 4 + phase)
        ) as told_number,
        max(last_seq) as last_seq
    from numbered
    group by {{ key }}

),

folded as (

    select
        newest.sync_name,
        newest.segment,
        newest.key_type,
        newest.match_key,
        delivered.delivered_seq,
        doubtful.doubt_seq,
        refused.rejected_seq,
        delivered.delivered_action,
        delivered.delivered_payload_hash,
        coalesce(doubtful.is_resend_decided, false) as is_resend_decided,
        refused.rejected_payload_hash,
        refused.rejection_code,
        refused.rejection_text,
        told.key_value,
        told.cohort_name,
        told.person_ids,
        told.anchors,
        newest.last_seq
    from newest
    inner join numbered as told
        on newest.told_number = told.fact_number
    left join numbered as delivered
        on newest.delivered_number = delivered.fact_number
    left join numbered as doubtful
        on newest.doubt_number = doubtful.fact_number
    left join numbered as refused
        on newest.rejected_number = refused.fact_number

),

states as (

    select hashed.* exclude (phase, plan_id, key_hash)
    from hashed
    anti join repeated
        on hashed.key_hash = repeated.key_hash
    union all by name
    select * from folded

)

select
    -- keys
    states.sync_name,
    states.segment,
    states.key_type,
    states.match_key,

    -- order
    states.delivered_seq,
    states.doubt_seq,
    states.rejected_seq,

    -- what the destination has, may have or refused
    states.delivered_action,
    states.delivered_payload_hash,
    states.is_resend_decided,
    states.rejected_payload_hash,
    states.rejection_code,
    states.rejection_text,
    states.key_value,
    states.cohort_name,
    states.person_ids,
    states.anchors,

    -- lineage
    states.last_seq,
    generation.generation
from states
cross join {{ source('raw', 'ledger_generation') }} as generation
