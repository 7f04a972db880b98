-- One row per device: how many users were seen on it, whether it is shared, whose it is (ID-10).
{{ config(
    materialized='incremental',
    incremental_strategy='supersede',
    unique_key='device_key',
    meta={'part': 'links'},
) }}
{% set anew = resolves_anew('links') -%}

-- depends_on: {{ ref('identity__touched') }}
with

settings as (

    select * from {{ ref('stg_relay__settings') }}

),

scope as (

    select * from {{ ref('identity__scope') }}

),

sightings as{% if anew %} not materialized{% endif %} (

    select * from {{ ref('identity__sightings') }}
    {% if anew %}
        where device_key is not null
    {% else %}
        where device_key in ({{ keys_of(ref('identity__touched'), 'identifier_key') }})
    {% endif %}

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
        sum(row_count) as rows_count,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at
    from sightings
    group by device_key, namespace, device_id

),

-- As the last build left them.
known as (

    {% if anew -%}
        select
            device_key,
            cast(null as bigint) as shared_build
        from devices
        where false
    {%- else -%}
        select
            device_key,
            shared_build
        from {{ this }}
        where device_key in ({{ keys_of('devices', 'device_key') }})
    {%- endif %}

),

counted as (

    select
        devices.*,
        owners.owner_key,
        coalesce(owners.users_count, 0) as users_count,
        coalesce(owners.users_count > settings.max_user_ids_per_device, false) as is_shared
    from devices
    cross join settings
    left join owners
        on devices.device_key = owners.device_key

)

select
    -- keys
    counted.device_key,
    counted.namespace,
    counted.device_id,
    counted.owner_key,

    -- attributes
    counted.users_count,
    counted.is_shared,
    cast(counted.rows_count as bigint) as rows_count,

    -- times
    counted.first_seen_at,
    counted.last_seen_at,

    -- lineage: the build since which it is shared
    if(counted.is_shared, coalesce(known.shared_build, scope.build_number), null) as shared_build
from counted
cross join scope
left join known
    on counted.device_key = known.device_key
