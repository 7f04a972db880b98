-- One row per sync, segment and key the ledger tells of: last delivered, in doubt and refused when.
{{
    config(
        materialized='incremental',
        incremental_strategy='supersede',
        unique_key=['sync_name', 'segment', 'key_type', 'match_key'],
        pre_hook="{{ forget_other_generations(this) }}"
    )
}}
{% set key = ['sync_name', 'segment', 'key_type', 'match_key'] | join(', ') -%}

with

-- Only what the ledger said since this table was last built. A build never falls between a request
-- and its answer: whoever sends holds the lock.
outcomes as (

    select
        *,
        outcomes as told
    from {{ ref('ledger__request_outcomes') }} as outcomes  -- noqa: AL05
    {% if is_incremental() %}
        where last_seq > (
            select coalesce(max(done.last_seq), 0) from {{ this }} as done
        )
    {% endif %}

),

plan_syncs as (

    select * from {{ ref('stg_ledger__plan_syncs') }}
    where sync_kind = 'cohort_sync' and has_rows

),

-- Narrowed to the plans heard of before anything is joined: a long history is passed over.
plan_rows as (

    select plan_rows.* from {{ ref('stg_ledger__plan_rows') }} as plan_rows
    semi join outcomes
        on plan_rows.plan_id = outcomes.plan_id and plan_rows.sync_name = outcomes.sync_name

),

told_rows as (

    select
        plan_rows.*,
        {{ segment_of('plan_syncs.destination', 'plan_syncs.cohort_id', 'plan_rows.cohort_name') }}
            as segment,
        coalesce(positions.told, requests.told, whole_syncs.told) as told
    from plan_rows
    inner join plan_syncs
        on plan_rows.plan_id = plan_syncs.plan_id and plan_rows.sync_name = plan_syncs.sync_name
    {{ join_what_was_told('plan_rows') }}

),

new_facts as (

    select
        {{ key }},
        phase,
        told.delivered_seq,
        told.doubt_seq,
        told.rejected_seq,
        if(told.delivered_seq is null, null, action) as delivered_action,
        if(told.delivered_seq is null, null, payload_hash) as delivered_payload_hash,
        told.is_resend_decided,
        if(told.rejected_seq is null, null, payload_hash) as rejected_payload_hash,
        told.rejection_code,
        told.rejection_text,
        key_value,
        cohort_name,
        -- Nearly every key has one person: a list is dear to read, a text and no list are not.
        person_ids[1] as person_id,
        anchors[1] as anchor,
        nullif(person_ids[2:], []) as further_person_ids,
        nullif(anchors[2:], []) as further_anchors,
        told.last_seq
    from told_rows
    where coalesce(told.delivered_seq, told.doubt_seq, told.rejected_seq) is not null

),

facts as (

    select * from new_facts
    {% if is_incremental() %}
        -- What is known of a key is one fact more.
        union all by name
        select
            states.* exclude (
                key_hash, is_confirmed, is_in_doubt, is_parked, is_gone, generation  -- noqa: RF02
            ),
            0 as phase
        from {{ this }} as states
        semi join new_facts as facts_of_key  -- noqa: AL05
            using ({{ key }})
        -- The others are passed over before they are read in full.
        where states.match_key in ({{ keys_of('new_facts', 'match_key') }})
    {% endif %}

),

hashed as not materialized (

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
        using (key_hash)

),

newest as (

    select
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
        told.* exclude (fact_number) replace (  -- noqa: RF02
            delivered.delivered_seq as delivered_seq,
            delivered.delivered_action as delivered_action,
            delivered.delivered_payload_hash as delivered_payload_hash,
            doubtful.doubt_seq as doubt_seq,
            coalesce(doubtful.is_resend_decided, false) as is_resend_decided,
            refused.rejected_seq as rejected_seq,
            refused.rejected_payload_hash as rejected_payload_hash,
            refused.rejection_code as rejection_code,
            refused.rejection_text as rejection_text,
            newest.last_seq as last_seq
        )
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

    select hashed.* from hashed
    anti join repeated
        using (key_hash)
    union all by name
    select * from folded

),

generation as (

    select generation from {{ source('raw', 'ledger_generation') }}

)

select
    -- keys
    states.sync_name,
    states.segment,
    states.key_type,
    states.match_key,
    {{ key_hash('states.key_type', 'states.match_key') }} as key_hash,

    -- order
    states.delivered_seq,
    states.doubt_seq,
    states.rejected_seq,

    -- judged here, once: most readers look at this alone
    coalesce(states.delivered_action != 'removed', false) as is_confirmed,
    coalesce(states.doubt_seq > coalesce(states.delivered_seq, 0), false) as is_in_doubt,
    coalesce(
        states.rejected_seq
        > greatest(coalesce(states.delivered_seq, 0), coalesce(states.doubt_seq, 0)),
        false
    ) as is_parked,
    not is_confirmed and not is_in_doubt and not is_parked as is_gone,

    -- what the destination has, may have or refused
    states.delivered_action,
    states.delivered_payload_hash,
    states.is_resend_decided,
    states.rejected_payload_hash,
    states.rejection_code,
    states.rejection_text,
    states.key_value,
    states.cohort_name,
    states.person_id,
    states.anchor,
    states.further_person_ids,
    states.further_anchors,

    -- lineage
    states.last_seq,
    generation.generation
from states
cross join generation
