-- One row per export and event that is still to be delivered, with the values to address it by.
{{
    config(
        materialized='table',
        pre_hook="set variable waiting_load = (
            select coalesce(min(load_id), 9223372036854775807)
            from {{ ref('events__export_queue') }}
            where event_id is not null
        )"
    )
}}

with

queue as (

    select * from {{ ref('events__export_queue') }}
    where event_id is not null

),

export_events as (

    -- What was delivered is history, and not looked at again.
    select * from {{ ref('events__export_events') }}
    where load_id >= coalesce(getvariable('waiting_load'), 0)

)

select
    -- keys
    queue.sync_name,
    export_events.source,
    queue.event_id,

    -- the event
    export_events.event_type,
    export_events.event_kind,
    export_events.channel,
    -- What a one-time export or a week-old event brings is history: see payloads.amplitude_events.
    export_events.is_backfill
    or export_events.loaded_at > export_events.event_at + interval 7 day as is_history,
    export_events.min_id_length,

    -- identifiers
    export_events.user_value,
    export_events.device_value,
    export_events.notes,

    -- what came of it so far
    queue.outcome,
    queue.rejected_payload_hash,
    queue.first_attempted_at,

    -- times
    export_events.event_at,

    -- lineage
    export_events.source_file,
    queue.load_id
from queue
inner join export_events
    on
        queue.sync_name = export_events.sync_name
        and queue.event_id = export_events.event_id
        and queue.load_id = export_events.load_id
where not export_events.is_withdrawn
