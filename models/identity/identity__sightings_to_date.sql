-- One row per sighting, as in `identity.sightings`: counted and dated up to the newest snapshot.
{{ config(materialized='view') }}

with

-- Nobody writes a row anew because one more snapshot has it: what is open follows from the cohort.
snapshots as (

    select
        cohort_id,
        last_computed_at,
        max(snapshot_number) over (partition by cohort_id) - snapshot_number as later_count,
        max(last_computed_at) over (partition by cohort_id) as newest_at
    from {{ ref('stg_amplitude__cohort_snapshots') }}

)

select
    sightings.* replace (
        sightings.row_count + coalesce(snapshots.later_count, 0) as row_count,
        coalesce(snapshots.newest_at, sightings.last_seen_at) as last_seen_at
    )
from {{ ref('identity__attributed_sightings') }} as sightings
left join snapshots
    on
        sightings.open_cohort_id = snapshots.cohort_id
        and sightings.last_seen_at = snapshots.last_computed_at
