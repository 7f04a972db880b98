-- One row per identifier with evidence since the last complete build; none if all is anew (ID-14).
with

since as (

    select since_load_id as load_id
    from {{ ref('identity__scope') }}
    where not links_is_new

),

sightings as not materialized (

    select * from {{ ref('identity__sightings') }}

),

merge_rows as (

    select * from {{ ref('identity__merges') }}

),

overrides as (

    select * from {{ ref('identity__overrides') }}

),

new_sightings as (

    select * from sightings
    where load_id > (select since.load_id from since)

),

-- An amplitude id that was seen with a junk user id may be contaminated from now on, or no more.
suspects as (

    select distinct sightings.amplitude_key
    from sightings
    semi join new_sightings
        on sightings.amplitude_key = new_sightings.amplitude_key
    where sightings.is_user_junk

),

-- Devices on which an anonymous id may find its user now.
linking_devices as (

    select device_key
    from new_sightings
    where device_key is not null and user_key is not null

    union distinct

    select sightings.device_key
    from sightings
    semi join suspects
        on sightings.amplitude_key = suspects.amplitude_key
    where sightings.device_key is not null

),

open_devices as (

    select device_key from linking_devices
    {% if left_by_last_build('devices') %}
        -- One that was shared stays so: what is on it has no link to lose or find.
        where
            device_key not in (
                select devices.device_key
                from identity.devices
                where
                    devices.is_shared
                    and devices.shared_build < (
                        select scope.build_number from {{ ref('identity__scope') }} as scope
                    )
            )
    {% endif %}

),

touched as (

    select unnest([amplitude_key, user_key, device_key]) as identifier_key
    from new_sightings

    union distinct

    select device_key as identifier_key
    from linking_devices

    union distinct

    select sightings.amplitude_key as identifier_key
    from sightings
    semi join open_devices
        on sightings.device_key = open_devices.device_key
    where sightings.user_key is null

    union distinct

    select unnest([left_key, right_key]) as identifier_key
    from merge_rows
    where
        load_id > (select since.load_id from since)
        or left_key in (select suspects.amplitude_key from suspects)
        or right_key in (select suspects.amplitude_key from suspects)

    union distinct

    -- Overrides are few: all of them, and what followed or was cut off by those that are no more.
    select unnest([overrides.left_key, overrides.right_key]) as identifier_key
    from overrides
    cross join since

    {% if left_by_last_build('candidates') and left_by_last_build('stops') %}
        union distinct

        select unnest([candidates.left_key, candidates.right_key]) as identifier_key
        from identity.candidates
        cross join since
        where candidates.link_class = 'override'

        union distinct

        select stops.identifier_key
        from identity.stops
        cross join since
    {% endif %}

)

select identifier_key
from touched
where identifier_key is not null
