-- One row per sighting and user property that a sync asks for: the latest usable value (ID-16).
-- Dated as sightings are.
{{ config(
    materialized='incremental',
    incremental_strategy='supersede',
    unique_key='sighting_key',
    meta={'part': 'properties'},
) }}
{% set anew = resolves_anew('properties') -%}

-- depends_on: {{ ref('identity__new_events') }}
with

syncs as (

    select * from {{ ref('stg_relay__syncs') }}
    where kind = 'cohort_sync'

),

clevertap_exports as (

    select * from {{ ref('stg_relay__syncs') }}
    where kind = 'event_export' and json_extract_string(config, '$.source') = 'clevertap'

),

event_rows as (

    {% if anew %}
        select * from {{ ref('identity__event_rows') }}
    {% else %}
        select * from {{ ref('identity__new_events') }}
    {% endif %}

),

cohort_rows as (

    select * from {{ ref('identity__cohort_runs') }}

),

junk_ids as (

    select * from {{ ref('stg_relay__junk_ids') }}

),

named as (

    select distinct unnest(list_concat(user_id_from, anonymous_id_from)) as property
    from syncs

),

asked as (

    select property
    from named
    where property not in ('user_id', 'device_id')

    union distinct

    -- CleverTap's events may name a person by it (ID-21).
    select 'CleverTap_Identity' as property
    from clevertap_exports

),

found as (

    select
        {{ combination_key([
            "'events'",
            'event_rows.namespace',
            'event_rows.amplitude_id',
            'event_rows.user_id',
            'event_rows.device_id',
        ]) }} as sighting_key,
        asked.property,
        event_rows.event_time as seen_at,
        cast(null as varchar) as open_cohort_id,
        false as is_of_cohort,
        {{ json_property('event_rows.user_properties', 'asked.property') }} as json_value
    from event_rows
    cross join asked
    where {{ may_have_property('event_rows.user_properties', 'asked.property') }}

    union all

    select
        {{ combination_key([
            "'cohort ' || cohort_rows.cohort_id",
            'cohort_rows.namespace',
            'cohort_rows.amplitude_id',
            'cohort_rows.user_id',
            'cast(null as varchar)',
        ]) }} as sighting_key,
        asked.property,
        cohort_rows.last_seen_at as seen_at,
        if(cohort_rows.is_open, cohort_rows.cohort_id, null) as open_cohort_id,
        true as is_of_cohort,
        {{ json_property('cohort_rows.properties', 'asked.property') }} as json_value
    from cohort_rows
    cross join asked
    where {{ may_have_property('cohort_rows.properties', 'asked.property') }}

),

cleaned as (

    select
        sighting_key,
        property,
        seen_at,
        open_cohort_id,
        is_of_cohort,
        {{ clean_json_scalar('json_value') }} as property_value
    from found

),

usable as (

    select *
    from cleaned
    where
        property_value is not null
        and not {{ is_junk_property('property', 'property_value') }}

),

known as (

    select
        sighting_key,
        property,
        seen_at,
        open_cohort_id,
        property_value
    from usable

    {% if not anew %}
        union all

        -- All rows of a cohort's sighting were read again; those of events add up.
        select
            property_values.sighting_key,
            property_values.property,
            property_values.seen_at,
            property_values.open_cohort_id,
            property_values.property_value
        from {{ this }} as property_values
        where
            property_values.sighting_key in (
                select usable.sighting_key from usable
                where not usable.is_of_cohort
            )
    {% endif %}

)

select
    sighting_key,
    property,
    {{ last_of('seen_at', 'property_value', 'property_value') }} as property_value,
    max(seen_at) as seen_at,
    -- A value of the newest snapshot is the latest of its sighting.
    max(open_cohort_id) as open_cohort_id
from known
group by sighting_key, property
