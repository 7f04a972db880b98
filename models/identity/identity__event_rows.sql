-- One row per event that is evidence of who is who: one of each uuid, none that we sent (ID-2).
{{ config(materialized='view') }}

with

events as (

    select * from {{ ref('stg_amplitude__events') }}
    where not is_relayed

),

namespaces as (

    select * from {{ ref('stg_relay__namespaces') }}

),

-- Named in both places: a CTE that is read twice would be kept, and hide the events from filters.
rows_once as (

    select
        events.uuid,
        events.project,
        events.amplitude_id,
        events.user_id,
        events.device_id,
        events.user_properties,
        events.event_time,
        events.load_id
    from events
    anti join {{ ref('identity__repeated_events') }} as repeated
        on events.uuid = repeated.uuid

    union all

    select
        repeated.uuid,
        repeated.project,
        repeated.amplitude_id,
        repeated.user_id,
        repeated.device_id,
        repeated.user_properties,
        repeated.event_time,
        repeated.load_id
    from {{ ref('identity__repeated_events') }} as repeated

)

select
    cast(rows_once.uuid as varchar) as row_key,
    coalesce(namespaces.namespace, 'default') as namespace,
    rows_once.amplitude_id,
    rows_once.user_id,
    rows_once.device_id,
    rows_once.user_properties,
    rows_once.event_time,
    rows_once.load_id
from rows_once
left join namespaces
    on rows_once.project = namespaces.project
