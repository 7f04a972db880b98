-- One row per profile of Lytics, one a person: how it ends when all that is pending is sent.
{{
    config(
        materialized='incremental',
        unique_key='profile_id',
        on_schema_change='fail',
        post_hook="delete from {{ this }} where profile_id not in (
            select sources.profile_id from {{ ref('fields__lytics_profile_sources') }} as sources
        )"
    )
}}

with

sources as (

    select * from {{ ref('fields__lytics_profile_sources') }}

),

-- Only the people something moved for: a fragment came, went, or has new events, or a row is due.
touched as (

    select sources.*
    from sources
    {% if is_incremental() %}
        left join {{ this }} as done
            on sources.profile_id = done.profile_id
        where done.source_hash is distinct from sources.source_hash
    {% endif %}

),

fragments as (

    select
        touched.profile_id,
        profile_fragments.fragment_id,
        profile_fragments.amplitude_id,
        profile_fragments.user_id
    from {{ ref('fields__lytics_profile_fragments') }} as profile_fragments
    inner join touched
        on
            profile_fragments.person_id = touched.person_id
            and profile_fragments.lone_amplitude_id is not distinct from touched.lone_amplitude_id

),

mappings as (

    select
        stream,
        target_field,
        source_field,
        value_type,
        layout,
        is_map,
        is_column
    from {{ ref('fields__lytics_mappings') }}
    where is_applied and problem is null

),

event_columns as (

    select
        newest_rows.fragment_id,
        newest_rows.order_key,
        unnest([
            { 'field': 'amplitude_id', 'value_text': newest_rows.amplitude_id },
            { 'field': 'user_id', 'value_text': newest_rows.user_id },
            {%- for name, column, kind in lytics_event_columns() %}
                {
                    'field': '{{ name }}',
                    'value_text': {{ lytics_column_text('newest_rows.' ~ column, kind) }}
                }{{ ',' if not loop.last }}
            {%- endfor %}
        ]) as entry
    from {{ ref('fields__lytics_newest_rows') }} as newest_rows
    semi join fragments
        on newest_rows.fragment_id = fragments.fragment_id

),

stream_values as (

    select
        mappings.stream,
        event_columns.fragment_id,
        mappings.target_field,
        cast(null as varchar) as map_key,
        {{ lytics_value('event_columns.entry.value_text', 'mappings.value_type', 'mappings.layout') }}
            as value_json,
        cast(null as bigint) as value_count,
        event_columns.order_key
    from event_columns
    inner join mappings
        on event_columns.entry.field = mappings.source_field
    where mappings.is_column and event_columns.entry.value_text is not null
    union all
    select
        'amplitude_events' as stream,
        fragment_id,
        target_field,
        map_key,
        value_json,
        value_count,
        order_key
    from {{ ref('fields__lytics_event_values') }}
    union all
    select
        stream,
        fragment_id,
        target_field,
        map_key,
        value_json,
        value_count,
        order_key
    from {{ ref('fields__lytics_mapped_values') }}
    where load_id is null

),

-- Latest by time wins, key by key in a map; counts add up.
by_key as (

    select
        fragments.profile_id,
        stream_values.target_field,
        stream_values.map_key,
        mappings.is_map,
        arg_max(stream_values.value_json, stream_values.order_key) as value_json,
        sum(stream_values.value_count) as value_count
    from stream_values
    inner join fragments
        on stream_values.fragment_id = fragments.fragment_id
    inner join mappings
        on
            stream_values.stream = mappings.stream
            and stream_values.target_field = mappings.target_field
    -- An id that must not be sent gives the profile nothing either.
    where
        case mappings.source_field
            when 'amplitude_id' then fragments.amplitude_id is not null
            when 'user_id' then fragments.user_id is not null
            else true
        end
    group by
        fragments.profile_id, stream_values.target_field, stream_values.map_key, mappings.is_map

),

by_field as (

    select
        profile_id,
        target_field,
        if(
            is_map,
            '{' || array_to_string(list_sort(list(
                to_json(map_key) || ':' || coalesce(value_json, cast(value_count as varchar))
            )), ',') || '}',
            any_value(value_json)
        ) as value_json
    from by_key
    group by profile_id, target_field, is_map

),

rendered as (

    select
        profile_id,
        '{' || array_to_string(list_sort(list(to_json(target_field) || ':' || value_json)), ',')
        || '}' as user_fields
    from by_field
    group by profile_id

)

select
    -- keys
    touched.sync_name,
    touched.profile_id,
    touched.person_id,
    touched.anchor,
    touched.key_type,
    touched.key_value,

    -- the profile
    rendered.user_fields,

    -- lineage
    touched.source_hash
from touched
inner join rendered
    on touched.profile_id = rendered.profile_id
