-- One row per event of CleverTap, under the name that Amplitude gets to see.
with

events as (

    select
        *,
        {{ event_name_key('event_name') }} as name_key
    from {{ ref('stg_clevertap__events') }}

),

engagement_events as (

    select
        *,
        {{ event_name_key('source_event_name') }} as name_key
    from {{ ref('clevertap_engagement_events') }}

)

select
    -- keys
    'clevertap' as source,
    'relay:clevertap:' || events.event_key || '-' || events.occurrence as event_id,

    -- the event
    coalesce(engagement_events.target_event_type, nullif(trim(events.event_name), ''))
        as event_type,
    cast(null as varchar) as event_kind,
    cast(null as varchar) as channel,
    engagement_events.name_key is not null as is_engagement,
    engagement_events.name_key is not null as is_mapped,
    cast(null as varchar) as event_code,
    events.event_name,
    events.is_withdrawn,

    -- identifiers
    events.clevertap_identity,
    events.email,
    events.phone,
    events.object_id,

    -- times
    events.event_at,
    events.event_date,

    -- lineage
    events.source_file,
    events.load_id,
    events.loaded_at
from events
left join engagement_events
    on events.name_key = engagement_events.name_key
