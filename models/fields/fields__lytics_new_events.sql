-- One row per event for Lytics' stream in a load after those that fields__lytics_event_rows holds;
-- where nobody has set the variable `newest_load`, every event.
{{ config(materialized='view') }}

with

events as (

    select * from {{ ref('stg_amplitude__events') }}
    where
        -- By load, not by time: an event that comes late counts.
        load_id > coalesce(getvariable('newest_load'), 0)
        -- What was sent to Amplitude from here goes nowhere else.
        and not is_relayed

),

event_imports as (

    select * from {{ ref('fields__lytics_event_imports') }}

)

-- An event without a time of its own takes that of its upload: a row has its timestamp_field.
select * replace (coalesce(event_time, server_upload_time) as event_time)
from events
where exists (select 1 from event_imports)
