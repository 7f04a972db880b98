-- One row per sync, member to key and value that may become the key, best with smallest place
-- (ID-16).

with

syncs as (

    select * from {{ ref('stg_relay__syncs') }}
    where kind = 'cohort_sync' and destination in ('clevertap', 'moengage')

),

members as (

    select members.*
    from {{ ref('identity__members_to_key') }} as members
    semi join syncs
        on members.cohort_id = syncs.cohort_id

),

property_values as (

    select * from {{ ref('identity__properties_to_date') }}

),

wanted_identifiers as (

    select
        identifier_key,
        anchor_key,
        id_type,
        id_value,
        steps_count
    from {{ ref('identity__identifiers') }}
    where anchor_key in ({{ keys_of('members', 'anchor_key') }})

),

wanted_sightings as (

    select
        wanted.anchor_key,
        sightings.sighting_key,
        sightings.device_key,
        sightings.device_id,
        sightings.last_seen_at
    from {{ ref('identity__attributed_sightings') }} as sightings
    inner join wanted_identifiers as wanted
        on sightings.identifier_key = wanted.identifier_key
    where
        sightings.identifier_key in ({{ keys_of('wanted_identifiers', 'identifier_key') }})

),

user_ids as (

    select
        anchor_key,
        'user_id' as source,
        id_value as offered_value,
        row_number() over (
            partition by anchor_key
            order by steps_count, id_value
        ) as place,
        cast(null as varchar) as withheld
    from wanted_identifiers
    where id_type = 'user_id'

),

-- The latest of all rows of the person, whichever of its identifiers they carry.
person_properties as (

    select
        wanted_sightings.anchor_key,
        property_values.property as source,
        {{ last_of(
            'property_values.seen_at',
            'property_values.property_value',
            'property_values.property_value'
        ) }} as offered_value,
        1 as place,
        cast(null as varchar) as withheld
    from property_values
    inner join wanted_sightings
        on property_values.sighting_key = wanted_sightings.sighting_key
    group by wanted_sightings.anchor_key, property_values.property

),

seen_devices as (

    select
        anchor_key,
        device_key,
        device_id,
        max(last_seen_at) as last_seen_at
    from wanted_sightings
    where device_key is not null
    group by anchor_key, device_key, device_id

),

devices as (

    select
        device_key,
        owner_key,
        is_shared
    from {{ ref('identity__devices') }}
    where device_key in ({{ keys_of('seen_devices', 'device_key') }})

),

owners as (

    select
        identifier_key,
        anchor_key
    from {{ ref('identity__identifiers') }}
    where
        anchor_key is not null
        and identifier_key in ({{ keys_of('devices', 'owner_key') }})

),

person_devices as (

    select
        seen_devices.anchor_key,
        'device_id' as source,
        seen_devices.device_id as offered_value,
        row_number() over (
            partition by seen_devices.anchor_key
            order by seen_devices.last_seen_at desc nulls last, seen_devices.device_id asc
        ) as place,
        case
            when devices.is_shared then 'device_shared'
            when owners.anchor_key != seen_devices.anchor_key then 'device_owned_by_other'
        end as withheld
    from seen_devices
    inner join devices
        on seen_devices.device_key = devices.device_key
    left join owners
        on devices.owner_key = owners.identifier_key

),

offers as (

    select * from user_ids
    union all
    select * from person_properties
    union all
    select * from person_devices

),

asked as (

    select
        sync_name,
        cohort_id,
        'user' as value_kind,
        unnest(user_id_from) as source,
        unnest(range(1, len(user_id_from) + 1)) as source_place
    from syncs

    union all

    select
        sync_name,
        cohort_id,
        'anonymous' as value_kind,
        unnest(anonymous_id_from) as source,
        unnest(range(1, len(anonymous_id_from) + 1)) as source_place
    from syncs

)

select
    -- keys
    asked.sync_name,
    members.anchor_key,
    asked.value_kind,
    -- A person has no million values of one kind.
    1000000 * asked.source_place + offers.place as place,

    -- attributes
    asked.source,
    offers.offered_value,
    offers.withheld
from asked
inner join members
    on asked.cohort_id = members.cohort_id
inner join offers
    on members.anchor_key = offers.anchor_key and asked.source = offers.source
