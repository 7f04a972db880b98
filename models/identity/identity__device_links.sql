-- One row per anonymous id that a known user followed on one of its devices: the first such user (ID-10).
with

sightings as (

    select * from {{ ref('identity__sightings') }}
    where source = 'events'

),

contaminated as (

    select * from {{ ref('identity__contaminated_ids') }}

),

devices as (

    select * from {{ ref('identity__devices') }}

),

event_rows as (

    select * from {{ ref('identity__event_rows') }}

),

settings as (

    select * from {{ ref('stg_relay__settings') }}

),

-- Devices on which somebody anonymous may have become somebody known.
candidate_devices as (

    select devices.device_key
    from devices
    cross join settings
    where
        settings.device_linking = 'first_known_user'
        and devices.has_anonymous_rows
        and devices.users_count > 0
        and not devices.is_shared

),

on_device as (

    select
        sightings.*,
        sightings.amplitude_key is not null
        and contaminated.amplitude_key is null as names_amplitude
    from sightings
    semi join candidate_devices
        on sightings.device_key = candidate_devices.device_key
    left join contaminated
        on sightings.amplitude_key = contaminated.amplitude_key

),

anonymous as (

    select
        if(names_amplitude, amplitude_key, device_key) as left_key,
        if(names_amplitude, 'amplitude_id', 'device_id') as left_id_type,
        if(names_amplitude, cast(amplitude_id as varchar), device_id) as left_id_value,
        namespace,
        device_key,
        device_id,
        min(coalesce(first_seen_at, timestamp 'infinity')) as anonymous_at,
        {{ first_of('first_seen_at', 'first_row') }} as anonymous_row
    from on_device
    where user_key is null
    group by all

),

known as (

    select
        on_device.device_key,
        coalesce(event_rows.event_time, timestamp 'infinity') as known_at,
        min({
            'user_id': on_device.user_id,
            'row_key': event_rows.row_key,
            'user_key': on_device.user_key
        }) as known_row
    from event_rows
    inner join on_device
        on
            event_rows.device_id = on_device.device_id
            and event_rows.namespace = on_device.namespace
            and event_rows.user_id = on_device.user_id
            and event_rows.amplitude_id is not distinct from on_device.amplitude_id
    where on_device.user_key is not null
    group by on_device.device_key, coalesce(event_rows.event_time, timestamp 'infinity')

),

followed as (

    select
        anonymous.*,
        known.known_row,
        nullif(known.known_at, timestamp 'infinity') as known_at
    from anonymous
    asof inner join known
        on
            anonymous.device_key = known.device_key
            and anonymous.anonymous_at <= known.known_at

)

select
    -- keys
    left_key,
    left_id_type,
    left_id_value,
    namespace,
    known_row['user_key'] as right_key,
    'user_id' as right_id_type,
    known_row['user_id'] as right_id_value,

    -- the evidence
    device_id,
    anonymous_row,
    known_row['row_key'] as known_row,

    -- times
    nullif(anonymous_at, timestamp 'infinity') as anonymous_at,
    known_at
from followed
qualify row_number() over (
    partition by left_key
    order by known_at nulls last, known_row['user_id'], device_id
) = 1
