-- One row per profile of Lytics, one a person: how it ends when all that is pending is sent.
{{
    config(
        materialized='incremental',
        incremental_strategy='supersede',
        unique_key='profile_id',
        on_schema_change='fail',
        pre_hook="{{ forget_gone_profiles(this) }}"
    )
}}

with

sources as (

    select * from {{ ref('fields__lytics_profile_sources') }}

),

-- Only the people something moved for: a fragment came, went, or has new events, or a row is due.
touched as (

    select
        sources.*,
        row_number() over (order by sources.profile_id) as profile_number
    from sources
    {% if is_incremental() %}
        left join {{ this }} as done
            on sources.profile_id = done.profile_id
        where done.source_hash is distinct from sources.source_hash
    {% endif %}

),

fragments as (

    select
        touched.profile_number,
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
        is_map,
        is_column
    from {{ ref('fields__lytics_mappings') }}
    where is_applied and problem is null

),

-- The columns of a profile's events; an id that must not be sent says nothing.
event_columns as (

    select
        fragments.profile_number,
        newest_rows.order_key,
        unnest([
            {%- for name in ('amplitude_id', 'user_id') %}
                {
                    'field': '{{ name }}',
                    'value_json': if(
                        fragments.{{ name }} is null,
                        null,
                        {{ lytics_column_json('newest_rows.' ~ name, 'text') }}
                    )
                },
            {%- endfor %}
            {%- for name, column, kind in lytics_event_columns() %}
                {
                    'field': '{{ name }}',
                    'value_json': {{ lytics_column_json('newest_rows.' ~ column, kind) }}
                }{{ ',' if not loop.last }}
            {%- endfor %}
        ]) as entry
    from {{ ref('fields__lytics_newest_rows') }} as newest_rows
    inner join fragments
        on newest_rows.fragment_id = fragments.fragment_id

),

stream_values as (

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

profile_values as (

    select
        event_columns.profile_number,
        mappings.target_field,
        mappings.is_map,
        cast(null as varchar) as map_key,
        event_columns.entry['value_json'] as value_json,
        cast(null as bigint) as value_count,
        event_columns.order_key
    from event_columns
    inner join mappings
        on event_columns.entry['field'] = mappings.source_field
    where mappings.is_column and event_columns.entry['value_json'] is not null

    union all

    select
        fragments.profile_number,
        stream_values.target_field,
        mappings.is_map,
        stream_values.map_key,
        stream_values.value_json,
        stream_values.value_count,
        stream_values.order_key
    from stream_values
    inner join fragments
        on stream_values.fragment_id = fragments.fragment_id
    inner join mappings
        on
            stream_values.stream = mappings.stream
            and stream_values.target_field = mappings.target_field
    where
        case mappings.source_field
            when 'amplitude_id' then fragments.amplitude_id is not null
            when 'user_id' then fragments.user_id is not null
            else true
        end

),

-- Latest by time wins, key by key in a map; counts add up. By windows, which go to disk where
-- memory ends; aggregates keep their texts in it.
by_key as (

    select
        profile_number,
        target_field,
        map_key,
        is_map,
        coalesce(
            value_json,
            cast(sum(value_count) over one_key as varchar)
        ) as value_json
    from profile_values
    window one_key as (partition by profile_number, target_field, map_key)
    qualify row_number() over (
        partition by profile_number, target_field, map_key
        order by order_key desc
    ) = 1

),

by_field as (

    select
        profile_number,
        target_field,
        to_json(target_field) || ':' || if(
            is_map,
            '{' || array_to_string(list_sort(
                list(to_json(map_key) || ':' || value_json) over one_field
            ), ',') || '}',
            value_json
        ) as member
    from by_key
    window one_field as (partition by profile_number, target_field)
    qualify row_number() over (partition by profile_number, target_field order by map_key) = 1

),

rendered as (

    select
        profile_number,
        '{' || array_to_string(list_sort(list(member) over one_profile), ',') || '}' as user_fields
    from by_field
    window one_profile as (partition by profile_number)
    qualify row_number() over (partition by profile_number order by target_field) = 1

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
    on touched.profile_number = rendered.profile_number
