-- One row per person who is sent nowhere: the first line of the suppress file that names them.
{{ config(
    materialized='incremental',
    incremental_strategy='supersede',
    unique_key='anchor_key',
    meta={'part': 'persons', 'region': 'identity__touched_persons', 'region_key': 'anchor_key'},
) }}
{% set anew = resolves_anew('persons') -%}

with

suppressions as (

    select
        suppressions.id_type,
        suppressions.id_value,
        suppressions.match as match_kind,
        suppressions.line as line_number
    from {{ ref('stg_relay__suppressions') }} as suppressions

),

-- With nothing to look for nobody is looked at, so that no identifier is read.
touched_persons as (

    select touched_persons.anchor_key
    from {{ ref('identity__touched_persons') }} as touched_persons
    where exists (select 1 from suppressions)

),

identifiers as{% if anew %} not materialized{% endif %} (

    select * from {{ ref('identity__identifiers') }}
    where
        anchor_key is not null
        and exists (select 1 from suppressions)
        {% if not anew %}
            and anchor_key in ({{ keys_of('touched_persons', 'anchor_key') }})
        {% endif %}

),

seen_devices as materialized (

    select
        identifier_key,
        device_id
    from {{ ref('identity__attributed_sightings') }}
    where
        device_key is not null
        and identifier_key in ({{ keys_of('identifiers', 'identifier_key') }})

),

-- A device is an attribute: everybody who was seen on it is meant.
on_devices as (

    select
        identifiers.anchor_key,
        'device_id' as id_type,
        seen_devices.device_id as id_value
    from seen_devices
    inner join identifiers
        on seen_devices.identifier_key = identifiers.identifier_key

),

named as (

    select
        anchor_key,
        id_type,
        id_value
    from identifiers

    union distinct

    select * from on_devices

),

matches as (

    select
        named.anchor_key,
        suppressions.line_number
    from named
    inner join suppressions
        on
            named.id_type = suppressions.id_type
            and named.id_value = suppressions.id_value
    where suppressions.match_kind = 'exact'

    union all

    select
        named.anchor_key,
        suppressions.line_number
    from named
    inner join suppressions
        on
            named.id_type = suppressions.id_type
            and regexp_full_match(named.id_value, suppressions.id_value)
    where suppressions.match_kind = 'regex'

)

select
    anchor_key,
    min(line_number) as line_number
from matches
group by anchor_key
