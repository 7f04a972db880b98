-- One row per event of Lytics' stream amplitude_events: the columns its own import would
-- ingest, and beside them the two unique ids as the event has them; whose they are is found
-- later.
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
    'event_type', 'idfa', 'ip_address', 'language', 'library', 'os_name', 'os_version', 'partner_id',
    'platform', 'region', 'source_id', 'start_version', 'version_name',
] -%}
{%- set times = [
    'client_event_time', 'client_upload_time', 'event_time', 'processed_time', 'server_received_time',
    'server_upload_time', 'user_creation_time',
] %}

with

new_events as (

    select * from {{ ref('fields__lytics_new_events') }}

),

properties as (

    select * from {{ ref('fields__lytics_new_properties') }}

),

-- A client's retry has the project, device and insert id of the first sending, at any time. The
-- copy that was loaded first stays: it may be in Lytics already.
events as (

    select new_events.*
    from new_events
    {% if is_incremental() %}
        anti join {{ this }} as known
            on new_events.event_key = known.event_key
    {% endif %}
    qualify row_number() over (
        partition by new_events.event_key
        order by new_events.load_id, new_events.server_upload_time, new_events.uuid
    ) = 1

),

rendered as (

    select
        events.*,
        properties.members as property_members,
        -- A merge patch leaves out what is null. Numbers that Lytics takes as text are text.
        cast(json_merge_patch('{}', to_json({
            '$insert_id': nullif(events.insert_id, ''),
            '$insert_key': nullif(events.insert_key, ''),
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
        })) as varchar) as own_members
    from events
    left join properties
        on events.uuid = properties.uuid

)

select
    -- keys
    event_key,
    uuid,
    {{ lytics_fragment_id('project', 'amplitude_id', 'user_id') }} as fragment_id,
    project,
    cast(amplitude_id as varchar) as amplitude_id,
    user_id,

    -- attributes
    cast(concat(left(own_members, -1), ',' || property_members, '}') as json) as stream_columns,

    -- times
    event_time as event_at,
    server_upload_time as uploaded_at,
    {{ order_in_time(
        'event_time',
        "cast('0x' || left(replace(cast(uuid as varchar), '-', ''), 16) as ubigint)"
    ) }} as order_key,

    -- lineage
    load_id
from rendered
