-- One row per device: how many users and anonymous ids were seen on it, whether it is shared, whose it is.
with

sightings as (

    select * from {{ ref('identity__sightings') }}
    where device_key is not null

),

settings as (

    select * from {{ ref('stg_relay__settings') }}

),

users as (

    select
        device_key,
        user_key,
        user_id,
        max(last_seen_at) as last_seen_at
    from sightings
    where user_key is not null
    group by device_key, user_key, user_id

),

owners as (

    select
        device_key,
        count(*) as users_count,
        {{ last_of('last_seen_at', 'user_id', 'user_key') }} as owner_key
    from users
    group by device_key

),

devices as (

    select
        device_key,
        namespace,
        device_id,
        bool_or(user_key is null) as has_anonymous_rows,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at,
        max(load_id) as load_id
    from sightings
    group by device_key, namespace, device_id

)

select
    -- keys
    devices.device_key,
    devices.namespace,
    devices.device_id,

    -- attributes
    owners.owner_key,
    coalesce(owners.users_count, 0) as users_count,
    coalesce(owners.users_count > settings.max_user_ids_per_device, false) as is_shared,
    devices.has_anonymous_rows,

    -- times
    devices.first_seen_at,
    devices.last_seen_at,

    -- lineage
    devices.load_id
from devices
cross join settings
left join owners
    on devices.device_key = owners.device_key
