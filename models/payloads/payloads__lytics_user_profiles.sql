-- One row per person: the profile that Lytics ends with when all that is pending has been sent.
{{
    config(
        materialized='incremental',
        unique_key='person_id',
        on_schema_change='fail',
        post_hook="delete from {{ this }} where person_id not in (
            select sources.person_id from {{ ref('fields__lytics_profile_sources') }} as sources
        )"
    )
}}

with

sources as (

    select * from {{ ref('fields__lytics_profile_sources') }}

),

persons as (

    select * from {{ ref('identity__persons') }}

),

-- Only the people something moved for: a fragment came, went, or has new events, or a row is due.
touched as (

    select sources.*
    from sources
    {% if is_incremental() %}
        left join {{ this }} as done
            on sources.person_id = done.person_id
        where done.source_hash is distinct from sources.source_hash
    {% endif %}

),

fragments as (

    select fragment_persons.*
    from {{ ref('fields__lytics_fragment_persons') }} as fragment_persons
    semi join touched
        on fragment_persons.person_id = touched.person_id
    where fragment_persons.unsendable_reason is null

),

stream_values as (

    select
        fragment_id,
        target_field,
        map_key,
        source_field,
        is_map,
        value_json,
        value_count,
        order_key
    from {{ ref('fields__lytics_event_values') }}
    where target_field != ''
    union all
    select
        fragment_id,
        target_field,
        map_key,
        source_field,
        is_map,
        value_json,
        value_count,
        order_key
    from {{ ref('fields__lytics_mapped_values') }}
    where stream = 'amplitude_cohorts'

),

-- Latest by time wins, key by key in a map; counts add up.
by_key as (

    select
        fragments.person_id,
        stream_values.target_field,
        stream_values.map_key,
        any_value(stream_values.is_map) as is_map,
        arg_max(stream_values.value_json, stream_values.order_key) as value_json,
        sum(stream_values.value_count) as value_count
    from stream_values
    inner join fragments
        on stream_values.fragment_id = fragments.fragment_id
    where
        not (stream_values.source_field = 'amplitude_id' and fragments.amplitude_id is null)
        and not (stream_values.source_field = 'user_id' and fragments.user_id is null)
    group by fragments.person_id, stream_values.target_field, stream_values.map_key

),

by_field as (

    select
        person_id,
        target_field,
        if(
            any_value(is_map),
            '{' || array_to_string(list_sort(list(
                to_json(map_key) || ':' || coalesce(value_json, cast(value_count as varchar))
            )), ',') || '}',
            any_value(value_json)
        ) as value_json
    from by_key
    group by person_id, target_field

),

rendered as (

    select
        person_id,
        '{' || array_to_string(list_sort(list(to_json(target_field) || ':' || value_json)), ',')
        || '}' as user_fields
    from by_field
    group by person_id

)

select
    -- keys
    touched.sync_name,
    touched.person_id,
    persons.anchor,
    if(persons.canonical_amplitude_id is null, 'amplitude_user_id', 'amplitude_id') as key_type,
    coalesce(persons.canonical_amplitude_id, persons.primary_user_id) as key_value,

    -- the profile
    rendered.user_fields,

    -- lineage
    touched.source_hash
from touched
inner join rendered
    on touched.person_id = rendered.person_id
inner join persons
    on touched.person_id = persons.person_id
