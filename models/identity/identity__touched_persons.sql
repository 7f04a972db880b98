-- One row per anchor whose person or keys may be others now, or who is none; none if all is anew.
with

scope as (

    select * from {{ ref('identity__scope') }}
    where not links_is_new

),

touched as (

    select touched.identifier_key
    from {{ ref('identity__touched') }} as touched
    cross join scope

),

-- Written by this build, or by one that was cut short before its end.
rewritten as (

    select
        identifier_key,
        anchor_key
    from {{ ref('identity__identifiers') }}
    where build_number >= (select scope.build_number from scope)

),

-- Whose a device is shows in the keys of all who were seen on it, unless it was shared before too.
devices as (

    select device_key
    from {{ ref('identity__devices') }}
    where
        device_key in ({{ keys_of('touched', 'identifier_key') }})
        and coalesce(shared_build >= (select scope.build_number from scope), true)

),

seen_on_devices as (

    select identifier_key
    from {{ ref('identity__attributed_sightings') }}
    where device_key in ({{ keys_of('devices', 'device_key') }})

),

-- Up to which snapshot cohorts with a new one were taken up before.
snapshots as (

    select
        snapshots.cohort_id,
        max(snapshots.last_computed_at) filter (where snapshots.load_id <= scope.since_load_id)
            as seen_until
    from {{ ref('stg_amplitude__cohort_snapshots') }} as snapshots
    cross join scope
    group by snapshots.cohort_id
    having max(snapshots.load_id) > any_value(scope.since_load_id)

),

property_values as (

    select * from {{ ref('identity__properties_to_date') }}

),

-- What a cohort's rows say of a property is as new as its newest snapshot, and may now be newer
-- than what was the latest so far.
overtaken as (

    select distinct property_values.sighting_key
    from property_values
    inner join snapshots
        on
            property_values.seen_at >= snapshots.seen_until
            and property_values.open_cohort_id is distinct from snapshots.cohort_id
    where
        snapshots.cohort_id in (
            select of_cohorts.open_cohort_id from property_values as of_cohorts
        )

),

seen_with_properties as (

    select identifier_key
    from {{ ref('identity__attributed_sightings') }}
    where sighting_key in ({{ keys_of('overtaken', 'sighting_key') }})

),

concerned as (

    select anchor_key
    from {{ ref('identity__identifiers') }}
    where
        anchor_key is not null
        and identifier_key in (
            {{ keys_of('touched', 'identifier_key') }}
            union all
            {{ keys_of('seen_on_devices', 'identifier_key') }}
            union all
            {{ keys_of('seen_with_properties', 'identifier_key') }}
        )

)

select identifier_key as anchor_key from touched

union distinct

-- An id that nobody has seen is none any more once what was merged into it leads elsewhere.
select right_key as anchor_key
from {{ ref('identity__merges') }}
where left_key in (select touched.identifier_key from touched)

union distinct

select identifier_key as anchor_key from rewritten

union distinct

select anchor_key from rewritten
where anchor_key is not null

union distinct

select anchor_key from concerned
