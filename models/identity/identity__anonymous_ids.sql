-- One row per anonymous id to look at and device: its first row there without a user (ID-10).
{{ config(materialized='view', tags=['each_build']) }}
{% set anew = resolves_anew('links') -%}

with

touched as (

    select * from {{ ref('identity__touched') }}

),

sightings as (

    select * from {{ ref('identity__attributed_sightings') }}
    where
        source = 'events'
        and user_key is null
        and device_key is not null
        {% if not anew %}
            and identifier_key in ({{ keys_of('touched', 'identifier_key') }})
        {% endif %}

),

devices as (

    select devices.device_key
    from {{ ref('identity__devices') }} as devices
    cross join {{ ref('stg_relay__settings') }} as relay_settings
    where
        not devices.is_shared
        and relay_settings.device_linking = 'first_known_user'

),

known as (

    select distinct amplitude_key
    from {{ ref('identity__sightings') }}
    where
        user_key is not null
        {% if not anew %}
            and amplitude_key in ({{ keys_of('touched', 'identifier_key') }})
        {% endif %}

),

anonymous as (

    select
        identifier_key as left_key,
        if(amplitude_key is null, 'device_id', 'amplitude_id') as left_id_type,
        if(amplitude_key is null, device_id, cast(amplitude_id as varchar)) as left_id_value,
        namespace,
        device_key,
        device_id,
        min(coalesce(first_seen_at, timestamp 'infinity')) as anonymous_at,
        {{ first_of('first_seen_at', 'first_row') }} as anonymous_row
    from sightings
    group by left_key, left_id_type, left_id_value, namespace, device_key, device_id

)

select anonymous.*
from anonymous
-- What an id stands for whose user is in its own rows, no device needs to say.
anti join known
    on anonymous.left_key = known.amplitude_key
semi join devices
    on anonymous.device_key = devices.device_key
