-- One row per sighting and user property, as in `identity.property_values`: dated up to the newest
-- snapshot.
{{ config(materialized='view') }}

with

snapshots as (

    select * from {{ ref('stg_amplitude__cohort_snapshots') }}
    where is_newest

)

select
    property_values.* replace (
        coalesce(snapshots.last_computed_at, property_values.seen_at) as seen_at
    )
from {{ ref('identity__property_values') }} as property_values
left join snapshots
    on property_values.open_cohort_id = snapshots.cohort_id
