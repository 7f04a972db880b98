-- One row per sync, segment, key and facet: the last time the key was delivered, left in doubt or refused.
{{
    config(
        materialized='incremental',
        unique_key=['sync_name', 'segment', 'key_type', 'match_key', 'facet'],
        pre_hook="{{ forget_other_generations(this) }}"
    )
}}

with

row_outcomes as (

    select * from {{ ref('ledger__row_outcomes') }}
    where sync_kind = 'cohort_sync'

),

generation as (

    select generation from {{ source('raw', 'ledger_generation') }}

),

facets as (

    select
        sync_name,
        {{ segment_of('destination', 'cohort_id', 'cohort_name') }} as segment,
        key_type,
        match_key,
        case
            when is_in_doubt then 'doubt'
            when outcome = 'delivered' then 'delivered'
            when outcome = 'rejected' then 'rejected'
        end as facet,
        decisive_seq as seq,
        row_position,
        last_seq,
        action,
        key_value,
        cohort_name,
        payload_hash,
        person_ids,
        anchors,
        rejection_code,
        rejection_text,
        settled_at
    from row_outcomes
    where
        is_in_doubt or outcome in ('delivered', 'rejected')

),

-- Only what the ledger said since this table was last built; an older row of the same key and facet
-- has a smaller seq, so the newest one always replaces it.
new_facets as (

    select * from facets
    {% if is_incremental() %}
        where last_seq > (
            select coalesce(max(done.last_seq), 0) from {{ this }} as done
        )
    {% endif %}

)

select
    new_facets.* exclude (row_position),
    generation.generation
from new_facets
cross join generation
qualify row_number() over (
    partition by sync_name, segment, key_type, match_key, facet
    order by seq desc, row_position desc
) = 1
