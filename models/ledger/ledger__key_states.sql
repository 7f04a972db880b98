-- One row per sync, segment, key and facet: when the key was last delivered, in doubt or refused.
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

touched as (

    select
        *,
        {{ segment_of('destination', 'cohort_id', 'cohort_name') }} as segment
    from row_outcomes

),

facets as (

    select
        *,
        outcome as facet,
        settled_seq as seq
    from touched
    where outcome in ('delivered', 'rejected')
    union all
    select
        *,
        'doubt' as facet,
        doubt_seq as seq
    from touched
    where doubt_seq is not null

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
    -- keys
    new_facets.sync_name,
    new_facets.segment,
    new_facets.key_type,
    new_facets.match_key,
    new_facets.facet,
    new_facets.seq,

    -- the row that says so
    new_facets.action,
    new_facets.key_value,
    new_facets.cohort_name,
    new_facets.payload_hash,
    new_facets.person_ids,
    new_facets.anchors,
    new_facets.rejection_code,
    new_facets.rejection_text,

    -- lineage
    new_facets.last_seq,
    generation.generation
from new_facets
cross join generation
qualify row_number() over (
    partition by
        new_facets.sync_name, new_facets.segment, new_facets.key_type, new_facets.match_key,
        new_facets.facet
    order by new_facets.seq desc, new_facets.row_position desc
) = 1
