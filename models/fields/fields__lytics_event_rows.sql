-- One row per event of Lytics' stream amplitude_events: the columns its own import would
-- ingest, and beside them the two unique ids as the event has them; whose they are is found
-- later.
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        pre_hook="{{ remember_newest_load(this) }}"
    )
}}
{%- set documents = [
    'event_properties', 'global_user_properties', 'group_properties', 'groups', 'plan',
    'user_properties',
] -%}
{%- set names_without_end = "'" ~ documents | join(".', '") ~ ".'" -%}
{%- set as_text = {
    'amplitude_attribution_ids': "new_events.amplitude_attribution_ids ->> '$'",
    'data': "new_events.data ->> '$'",
    'sample_rate': 'cast(new_events.sample_rate as varchar)',
    'session_id': 'cast(new_events.session_id as varchar)',
} %}

with

new_events as (

    select * from {{ ref('fields__lytics_new_events') }}

),

-- A client's retry has the project, device and insert id of the first sending, at any time. The
-- copy that was loaded first stays: it may be in Lytics already.
first_copies as (

    select
        events.event_key,
        events.load_id,
        events.uuid
    from {{ ref('fields__lytics_new_events') }} as events
    {% if is_incremental() %}
        anti join {{ this }} as known
            on events.event_key = known.event_key
    {% endif %}
    qualify row_number() over (
        partition by events.event_key
        order by events.load_id, events.server_upload_time, events.uuid
    ) = 1

),

events as (

    select
        first_copies.event_key,
        new_events.uuid,
        new_events.project,
        cast(new_events.amplitude_id as varchar) as amplitude_id,
        new_events.user_id,
        {%- for _, column, kind in lytics_event_columns() if column != 'uuid' %}
            {% if kind == 'text' -%}
                nullif({{ as_text.get(column, 'new_events.' ~ column) }}, '') as {{ column }},
            {%- else -%}
                new_events.{{ column }},
            {%- endif %}
        {%- endfor %}
        new_events.load_id,
        [
            {%- for document in documents %}
                {
                    'field': '{{ document }}',
                    'nesting': 0,
                    'json_value': new_events.{{ document }}
                }{{ ',' if not loop.last }}
            {%- endfor %}
        ] as members
    from new_events
    inner join first_copies
        on
            new_events.load_id = first_copies.load_id
            and new_events.uuid = first_copies.uuid

),

-- Only objects have properties.
documented as (

    select
        * replace (
            list_filter(
                members, lambda member: json_type(member.json_value) = 'OBJECT'
            ) as members
        )
    from events

),

-- Members of objects within objects get the names of all of them, joined by dots. Two levels at
-- once; more are rare, and dearer.
named as (

    select * replace ({{ lytics_unnested(lytics_unnested('members')) }} as members)
    from documented

),

named_to_the_end as (

    select
        * replace (
            if(
                len(list_filter(members, lambda member: starts_with(member.json_value, '{'))) = 0,
                members,
                {{ lytics_all_unnested('members') }}
            ) as members
        )
    from named

),

-- Lists become JSON text, numbers and booleans text as it is spelt; null and '' say nothing.
scalars as (

    select
        * replace (
            list_filter(
                list_transform(
                    members,
                    lambda member: {
                        'field': member.field,
                        'nesting': member.nesting,
                        'value_text': member.json_value ->> '$'
                    }
                ),
                -- `match("prefix.")` takes no field of which nothing is left.
                lambda member: member.value_text != ''
                and member.field not in ({{ names_without_end }})
            ) as members
        )
    from named_to_the_end

),

-- `{"a.b": 1, "a": {"b": 2}}` gives one name twice: the one written out stays.
named_once as (

    select
        * replace (
            if(
                len(members)
                = len(list_distinct(list_transform(members, lambda member: member.field))),
                members,
                list_sort(list_distinct(list_filter(
                    members,
                    lambda member: member = list_min(list_filter(
                        members, lambda other: other.field = member.field
                    ))
                )))
            ) as members
        )
    from scalars

)

select
    -- keys
    event_key,
    uuid,
    {{ lytics_fragment_id('project', 'amplitude_id', 'user_id') }} as fragment_id,
    project,
    amplitude_id,
    user_id,

    -- attributes and times
    {%- for _, column, _ in lytics_event_columns() if column != 'uuid' %}
        {{ column }},
    {%- endfor %}
    list_transform(
        members, lambda member: { 'field': member.field, 'value_text': member.value_text }
    ) as properties,

    -- order
    {{ order_in_time(
        'event_time',
        "cast('0x' || left(replace(cast(uuid as varchar), '-', ''), 16) as ubigint)"
    ) }} as order_key,

    -- lineage
    load_id
from named_once
