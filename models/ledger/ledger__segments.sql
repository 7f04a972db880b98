-- One row per sync and segment the ledger tells of: the keys confirmed there, counted and hashed.
-- Counted anew only where the ledger told of a key since: what stands still costs no reading.
{{
    config(
        materialized='incremental',
        incremental_strategy='supersede',
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

counted as (

    select
        states.sync_name,
        states.segment,
        count(*) filter (where states.is_confirmed) as confirmed_count,
        count(*) filter (where states.is_in_doubt) as in_doubt_count,
        -- Tells two sets apart whatever their order.
        bit_xor(states.key_hash) filter (where states.is_confirmed) as confirmed_hash,
        min(states.cohort_name) filter (where states.is_confirmed) as smallest_cohort_name,
        max(states.cohort_name) filter (where states.is_confirmed) as largest_cohort_name,
        max(states.last_seq) as last_seq
    from {{ ref('ledger__key_states') }} as states
    semi join told_syncs
        on states.sync_name = told_syncs.sync_name
    group by states.sync_name, states.segment

),

generation as (

    select generation from {{ source('raw', 'ledger_generation') }}

)

select
    -- keys
    counted.sync_name,
    counted.segment,

    -- how many
    counted.confirmed_count,
    counted.in_doubt_count,
    counted.confirmed_hash,

    -- attributes
    counted.smallest_cohort_name,
    counted.largest_cohort_name,

    -- lineage
    counted.last_seq,
    generation.generation
from counted
cross join generation
{% if is_incremental() %}
    anti join {{ this }} as done
        on
            counted.sync_name = done.sync_name
            and counted.segment = done.segment
            and counted.last_seq = done.last_seq
{% endif %}
