-- One row per identifier to resolve: those in rows, and those that links alone name.
{{ config(materialized='view', tags=['each_build']) }}
{% set anew = resolves_anew('links') -%}

with

touched as (

    select * from {{ ref('identity__touched') }}

),

region as (

    select * from {{ ref('identity__region') }}

),

contaminated as (

    select * from {{ ref('identity__contaminated_ids') }}

),

devices as (

    select * from {{ ref('identity__devices') }}

),

-- Observed and device links name nobody who is not in a row.
first_links as (

    select * from {{ ref('identity__candidates') }}
    where
        link_rank = 1
        and link_class in ('override', 'merged')
        {% if not anew %}
            and left_key in ({{ keys_of('region', 'identifier_key') }})
        {% endif %}

),

overrides as (

    select * from {{ ref('identity__overrides') }}
    where kind = 'link'

),

-- The table is named thrice: a CTE that is read twice would be kept, and hide it from filters.
amplitude_ids as (

    select distinct
        amplitude_key as identifier_key,
        'amplitude_id' as id_type,
        namespace,
        cast(amplitude_id as varchar) as id_value
    from {{ ref('identity__sightings') }}
    where
        amplitude_key is not null
        and amplitude_key not in (select contaminated.amplitude_key from contaminated)
        {% if not anew %}
            and amplitude_key in ({{ keys_of('touched', 'identifier_key') }})
        {% endif %}

),

user_ids as (

    select distinct
        user_key as identifier_key,
        'user_id' as id_type,
        namespace,
        user_id as id_value
    from {{ ref('identity__sightings') }}
    where
        user_key is not null
        {% if not anew %}
            and user_key in ({{ keys_of('touched', 'identifier_key') }})
        {% endif %}

),

-- A device is an identifier where nothing better is in its rows, or where an override names it.
named_devices as (

    select device_key
    from {{ ref('identity__sightings') }}
    where
        device_key is not null
        and user_key is null
        and (
            amplitude_key is null
            or amplitude_key in (select contaminated.amplitude_key from contaminated)
        )
        {% if not anew %}
            and device_key in ({{ keys_of('touched', 'identifier_key') }})
        {% endif %}

    union distinct

    select unnest([left_key, right_key]) as device_key
    from overrides

),

device_ids as (

    select
        devices.device_key as identifier_key,
        'device_id' as id_type,
        devices.namespace,
        devices.device_id as id_value
    from devices
    semi join named_devices
        on devices.device_key = named_devices.device_key
    {% if not anew %}
        where devices.device_key in ({{ keys_of('touched', 'identifier_key') }})
    {% endif %}

),

seen as (

    select * from amplitude_ids
    union all
    select * from user_ids
    union all
    select * from device_ids

    {% if not anew %}
        union all

        select
            identifier_key,
            id_type,
            namespace,
            id_value
        from region
        where is_seen and identifier_key not in (select touched.identifier_key from touched)
    {% endif %}

),

linked as (

    select
        left_key as identifier_key,
        left_id_type as id_type,
        namespace,
        left_id_value as id_value
    from first_links

    union distinct

    select
        right_key as identifier_key,
        right_id_type as id_type,
        namespace,
        right_id_value as id_value
    from first_links

)

select
    seen.identifier_key,
    seen.id_type,
    seen.namespace,
    seen.id_value,
    true as is_seen
from seen

union all

select
    linked.identifier_key,
    linked.id_type,
    linked.namespace,
    linked.id_value,
    false as is_seen
from linked
where linked.identifier_key not in (select seen.identifier_key from seen)
