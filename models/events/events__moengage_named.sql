-- One row per event of MoEngage, under the name that Amplitude gets to see.
with

events as (

    select
        *,
        {{ event_name_key('event_code') }} as code_key,
        {{ event_name_key('event_name') }} as name_key
    from {{ ref('stg_moengage__events') }}

),

event_map as (

    select
        *,
        {{ event_name_key('source_event_code') }} as code_key,
        {{ event_name_key('source_event_name') }} as name_key
    from {{ ref('moengage_event_map') }}

),

-- Several events share a code in the vendor's own tables: there the name decides.
map_by_name as (

    select * from event_map
    where name_key is not null

),

map_by_code as (

    select * from event_map
    where name_key is null

)

select
    -- keys
    'moengage' as source,
    'relay:moengage:' || events.event_uuid as event_id,

    -- the event
    coalesce(
        map_by_name.target_event_type,
        map_by_code.target_event_type,
        nullif(trim(events.event_name), ''),
        nullif(trim(events.event_code), '')
    ) as event_type,
    coalesce(map_by_name.event_kind, map_by_code.event_kind) as event_kind,
    coalesce(map_by_name.channel, map_by_code.channel) as channel,
    coalesce(map_by_name.is_engagement, map_by_code.is_engagement, false) as is_engagement,
    coalesce(map_by_name.target_event_type, map_by_code.target_event_type) is not null
        as is_mapped,
    events.event_code,
    events.event_name,
    false as is_withdrawn,

    -- identifiers
    events.user_id as customer_id,
    events.anonymous_id,

    -- times
    events.event_at,
    events.event_date,

    -- lineage
    events.source_file,
    events.load_id,
    events.loaded_at
from events
left join map_by_name
    on events.code_key = map_by_name.code_key and events.name_key = map_by_name.name_key
left join map_by_code
    on events.code_key = map_by_code.code_key
