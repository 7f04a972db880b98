-- One row per event of Lytics' stream amplitude_events: the columns its own import would ingest, but for
-- the two unique ids, which are who the person is found to be and not what the event said.
{{
    config(
        materialized='incremental',
        unique_key='event_key',
        pre_hook="{{ remember_newest_load(this) }}"
    )
}}
{%- set texts = [
    'adid', 'amplitude_event_type', 'city', 'country', 'data_type', 'device_brand', 'device_carrier',
    'device_family', 'device_id', 'device_manufacturer', 'device_model', 'device_type', 'dma',
    'event_type', 'idfa', 'ip_address', 'language', 'library', 'os_name', 'os_version', 'platform',
    'region', 'start_version', 'version_name',
] -%}
{%- set times = [
    'client_event_time', 'client_upload_time', 'event_time', 'processed_time', 'server_received_time',
    'server_upload_time', 'user_creation_time',
] -%}
{%- set prefixed = [
    'event_properties', 'global_user_properties', 'group_properties', 'groups', 'plan',
    'user_properties',
] %}

with recursive

new_events as (

    -- An event without a time of its own takes that of its upload: a row has its timestamp_field.
    select
        * replace (coalesce(event_time, server_upload_time) as event_time),
        cast(
            if(
                device_id is null or insert_id is null,
                {{ hash_of(['uuid']) }},
                {{ hash_of(['project', 'device_id', 'insert_id']) }}
            ) as uuid
        ) as event_key
    from {{ ref('stg_amplitude__events') }}
    where
        not is_relayed
        and exists (select 1 from {{ ref('fields__lytics_event_imports') }})
        {% if is_incremental() %}
            -- By load, not by time: an event that comes late counts.
            and load_id > getvariable('newest_load')
        {% endif %}
    -- A client's retry has the project, device and insert id of the first sending, at any time.
    qualify row_number() over (partition by event_key order by server_upload_time, uuid) = 1

),

events as (

    select
        new_events.*,
        {% if is_incremental() %}
            -- An earlier copy of an event that was counted takes its place: who counted that one has
            -- to count anew.
            if(
                known.event_key is null,
                [],
                list_distinct(list_append(known.former_fragments, known.fragment_id))
            )
        {% else %}
            cast([] as uuid[])
        {% endif %} as former_fragments
    from new_events
    {% if is_incremental() %}
        left join {{ this }} as known
            on new_events.event_key = known.event_key
        where
            known.event_key is null
            or (new_events.server_upload_time, new_events.uuid) < (known.uploaded_at, known.uuid)
    {% endif %}

),

documents as (

    {% for column in prefixed %}
        select
            uuid,
            '{{ column }}.' as prefix,
            {{ column }} as document
        from events
        where {{ column }} is not null
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

top_entries as (

    select
        uuid,
        prefix,
        unnest({{ json_entries('document') }}) as entry
    from documents

),

-- Members of objects within objects get the names of all of them, joined by dots.
named_values as (

    select
        uuid,
        prefix || entry.key as field,
        contains(entry.key, '.') as has_dots,
        1 as depth,
        entry.value as value
    from top_entries
    where entry.key != '' or json_type(entry.value) = 'OBJECT'

    union all

    select
        uuid,
        field || '.' || entry.key as field,
        true as has_dots,
        depth + 1 as depth,
        entry.value as value
    from (
        select
            uuid,
            field,
            depth,
            unnest({{ json_entries('value') }}) as entry
        from named_values
    )

),

scalars as (

    select
        uuid,
        field,
        has_dots,
        depth,
        value ->> '$' as value_text
    from named_values
    where json_type(value) not in ('OBJECT', 'NULL') and (value ->> '$') != ''

),

-- `{"a.b": 1, "a": {"b": 2}}` gives one name twice: the one written out stays.
named_once as (

    select
        uuid,
        field,
        value_text
    from scalars
    where not has_dots

    union all

    select
        uuid,
        field,
        value_text
    from scalars
    where has_dots
    qualify row_number() over (partition by uuid, field order by depth, value_text) = 1

),

properties as (

    select
        uuid,
        array_to_string(list_sort(list(to_json(field) || ':' || to_json(value_text))), ',')
            as members
    from named_once
    group by uuid

),

rendered as (

    select
        events.uuid,
        -- A merge patch leaves out what is null. Numbers of 64 bits that Lytics takes as text are text.
        cast(json_merge_patch('{}', to_json({
            '$insert_id': nullif(events.insert_id, ''),
            '$schema': events.schema_version,
            'amplitude_attribution_ids': nullif(events.amplitude_attribution_ids ->> '$', ''),
            'app': events.app,
            'data': events.data ->> '$',
            'event_id': events.event_id,
            'is_attribution_event': events.is_attribution_event,
            'location_lat': events.location_lat,
            'location_lng': events.location_lng,
            'paying': events.paying,
            'sample_rate': cast(events.sample_rate as varchar),
            'session_id': cast(events.session_id as varchar),
            'uuid': cast(events.uuid as varchar),
            {%- for column in texts %}
            '{{ column }}': nullif(events.{{ column }}, ''),
            {%- endfor %}
            {%- for column in times %}
            '{{ column }}': {{ amplitude_time('events.' ~ column) }}{{ ',' if not loop.last }}
            {%- endfor %}
        })) as varchar) as own_members,
        properties.members as property_members
    from events
    left join properties
        on events.uuid = properties.uuid

),

located as (

    select
        events.event_key,
        events.uuid,
        events.project,
        cast(events.amplitude_id as varchar) as amplitude_id,
        events.user_id,
        events.event_time,
        events.server_upload_time,
        events.former_fragments,
        events.load_id,
        concat(left(rendered.own_members, -1), ',' || rendered.property_members, '}')
            as stream_columns
    from events
    inner join rendered
        on events.uuid = rendered.uuid

)

select
    -- keys
    event_key,
    uuid,
    {{ lytics_fragment_id('project', 'amplitude_id', 'user_id') }} as fragment_id,
    project,
    amplitude_id,
    user_id,

    -- attributes
    cast(stream_columns as json) as stream_columns,
    former_fragments,

    -- times
    event_time as event_at,
    server_upload_time as uploaded_at,
    {{ order_in_time(
        'event_time',
        "cast('0x' || left(replace(cast(uuid as varchar), '-', ''), 16) as ubigint)"
    ) }} as order_key,

    -- lineage
    load_id
from located
