-- One row per event name of MoEngage or CleverTap that no mapping knows: how often it came.
{{ config(materialized='table') }}

with

events as (

    select * from {{ ref('events__engagement') }}
    where not is_mapped

)

select
    -- keys
    source,
    event_code,
    event_name,

    -- attributes
    any_value(event_type order by event_type) as sent_as_event_type,
    count(*) as events_count,

    -- times
    min(event_at) as first_event_at,
    max(event_at) as last_event_at
from events
group by source, event_code, event_name
