-- One row per sync and segment the ledger tells of: the keys confirmed there, counted and hashed.
-- Counted anew only where the ledger told of a key since: what stands still costs no reading.
{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['sync_name', 'segment'],
        pre_hook="{{ forget_other_generations(this) }}"
    )
}}

with

-- Of a sync that nothing was told of since no key is looked at.
told_syncs as (

    select distinct sync_name from {{ ref('ledger__request_outcomes') }}
    {% if is_incremental() %}
        where last_seq > (
            select coalesce(max(done.last_seq), 0) from {{ this }} as done
        )
    {% endif %}

),

key_states as (

    select
        states.sync_name,
        states.segment,
        max(states.last_seq) as last_seq
    from {{ ref('ledger__key_states') }} as states
    semi join told_syncs
        on states.sync_name = told_syncs.sync_name
    group by states.sync_name, states.segment

),

segments as (

    select key_states.* from key_states
    {% if is_incremental() %}
        anti join {{ this }} as done
            on
                key_states.sync_name = done.sync_name
                and key_states.segment = done.segment
                and key_states.last_seq = done.last_seq
    {% endif %}

),

counted as (

    select
        known.sync_name,
        known.segment,
        count(*) filter (where known.is_confirmed) as confirmed_count,
        count(*) filter (where known.is_in_doubt) as in_doubt_count,
        -- Tells two sets apart whatever their order.
        bit_xor(known.key_hash) filter (where known.is_confirmed) as confirmed_hash,
        min(known.cohort_name) filter (where known.is_confirmed) as smallest_cohort_name,
        max(known.cohort_name) filter (where known.is_confirmed) as largest_cohort_name
    from {{ ref('ledger__confirmed_keys') }} as known
    semi join segments
        on known.sync_name = segments.sync_name and known.segment = segments.segment
    group by known.sync_name, known.segment

),

generation as (

    select generation from {{ source('raw', 'ledger_generation') }}

)

select
    -- keys
    segments.sync_name,
    segments.segment,

    -- how many
    coalesce(counted.confirmed_count, 0) as confirmed_count,
    coalesce(counted.in_doubt_count, 0) as in_doubt_count,
    counted.confirmed_hash,

    -- attributes
    counted.smallest_cohort_name,
    counted.largest_cohort_name,

    -- lineage
    segments.last_seq,
    generation.generation
from segments
left join counted
    on segments.sync_name = counted.sync_name and segments.segment = counted.segment
cross join generation
