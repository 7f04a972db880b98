-- One row per event that a client had sent before, at any time: a later copy of another event.
{{
    config(
        materialized='incremental',
        incremental_strategy='supersede',
        unique_key='event_key',
        pre_hook="{{ remember_newest_load(this) }}"
    )
}}

with

source as not materialized (

    select
        uuid,
        "$insert_id" as insert_id,
        coalesce(project, cast(app as varchar)) as project,
        device_id,
        server_upload_time,
        load_id
    from {{ source('raw', 'amplitude_events') }}

),

-- Few events share their insert id with another; only those are cleaned, hashed and ordered.
repeated as (

    {% if is_incremental() %}
        select distinct new_events.insert_id
        from source as new_events
        where new_events.load_id > coalesce(getvariable('newest_load'), 0)
    {% else %}
        select insert_id
        from source
        group by insert_id
        having count(*) > 1
    {% endif %}

),

shared as (

    select * from source
    where insert_id in (select repeated.insert_id from repeated)

),

cleaned as (

    select
        * replace ({{ clean_text('device_id') }} as device_id)
    from shared

),

keyed as (

    select
        *,
        {{ event_key('project', 'device_id', 'insert_id', 'uuid') }} as event_key
    from cleaned
    where device_id is not null

),

numbered as (

    select
        event_key,
        uuid,
        first(uuid) over copies as first_uuid,
        row_number() over copies as copy_number,
        server_upload_time,
        max(load_id) over (partition by event_key) as load_id
    from keyed
    window copies as (
        partition by event_key
        order by server_upload_time, uuid
    )

)

select
    -- keys
    uuid,
    event_key,
    first_uuid,

    -- attributes
    copy_number,

    -- times
    server_upload_time,

    -- lineage
    load_id
from numbered
where copy_number > 1
