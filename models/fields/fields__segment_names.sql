-- One row per enabled cohort sync: the name its segment goes by at the destination.
{{ config(materialized='view') }}

with

syncs as (

    select * from {{ ref('cohorts__current_syncs') }}
    where no_snapshot_reason is null

),

settings as (

    select * from {{ ref('stg_relay__settings') }}

),

named as (

    select
        syncs.sync_name,
        syncs.destination,
        syncs.cohort_id,
        syncs.cohort_name,
        if(
            syncs.destination = 'moengage',
            {{ moengage_segment_name(
                'syncs.cohort_name', 'settings.moengage_cohort_name_format'
            ) }},
            syncs.cohort_name
        ) as segment_name
    from syncs
    cross join settings

)

select
    *,
    {{ fold_text('segment_name') }} as folded_name
from named
