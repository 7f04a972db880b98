-- One row per sync, import and export; `cohort_id: all` is one sync per cohort.
-- The one staging model with joins: what `all` stands for is in Amplitude's list, not in syncs.yml.
with

source as (

    select * from {{ source('raw', 'syncs') }}

),

listed_cohorts as (

    select cohort_id
    from {{ source('raw', 'amplitude_cohorts') }}
    where
        vanished_at is null
        and coalesce(is_published, true)
        and not coalesce(is_archived, false)

),

-- A cohort once loaded stays: what was sent of it can still be seen and taken back.
loaded_cohorts as (

    select cohort_id
    from {{ source('raw', 'amplitude_cohort_snapshots') }}

),

cohorts as (

    select cohort_id from listed_cohorts
    union distinct
    select cohort_id from loaded_cohorts

),

of_one_cohort as (

    select
        *,
        sync_name as config_name
    from source
    -- Not `is distinct from`: DuckDB 1.5 loses the nulls of a CTE that is read twice so.
    where coalesce(cohort_id, '') != 'all'

),

of_all_cohorts as (

    select
        source.* replace (
            source.sync_name || '-' || cohorts.cohort_id as sync_name,
            cohorts.cohort_id as cohort_id
        ),
        source.sync_name as config_name
    from source
    cross join cohorts
    -- A cohort with a sync of its own to that destination is left to it.
    left join of_one_cohort
        on
            source.destination = of_one_cohort.destination
            and cohorts.cohort_id = of_one_cohort.cohort_id
    where
        source.cohort_id = 'all'
        and of_one_cohort.sync_name is null

),

syncs as (

    select * from of_one_cohort
    union all by name
    select * from of_all_cohorts

)

select
    -- keys
    syncs.sync_name,
    syncs.config_name,
    syncs.cohort_id,

    -- attributes
    syncs.kind,
    syncs.destination,
    syncs.delivery,
    syncs.is_enabled,
    syncs.frequency,
    syncs.at as time_of_day,
    syncs.timezone,
    syncs.user_id_from,
    syncs.anonymous_id_from,
    syncs.segment_name,
    syncs.on_unknown,
    syncs.max_removed_percent,
    syncs.max_added_percent,
    syncs.min_members,

    -- lineage
    syncs.position,
    syncs.config
from syncs
