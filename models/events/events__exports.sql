-- One row per enabled export of events: what it selects, and a hash of all that decides it.
{{ config(materialized='table') }}

with

syncs as (

    select * from {{ ref('stg_relay__syncs') }}
    where kind = 'event_export' and is_enabled

),

settings as (

    select * from {{ ref('stg_relay__settings') }}

),

moengage_map as (

    select string_agg(cast(to_json(event_map) as varchar), ',' order by event_map) as digest
    from {{ ref('moengage_event_map') }} as event_map -- noqa: AL05

),

clevertap_map as (

    select string_agg(cast(to_json(event_map) as varchar), ',' order by event_map) as digest
    from {{ ref('clevertap_engagement_events') }} as event_map -- noqa: AL05

),

junk_ids as (

    select string_agg(cast(to_json(junk) as varchar), ',' order by junk) as digest
    from {{ ref('stg_relay__junk_ids') }} as junk -- noqa: AL05

),

selections as (

    select
        *,
        json_extract_string(config, '$.source') as source,
        case
            when json_type(config, '$.events') = 'ARRAY' then 'named'
            else json_extract_string(config, '$.events')
        end as selection,
        list_transform(
            json_extract_string(config, '$.events[*]'),
            lambda one: {{ event_name_key('one') }}
        ) as event_keys,
        cast(
            coalesce(
                json_extract_string(config, '$.from'), json_extract_string(config, '$.start_date')
            ) as date
        ) as first_date,
        cast(json_extract_string(config, '$.to') as date) as last_date
    from syncs

)

select
    -- keys
    selections.sync_name,
    selections.source,

    -- what it selects
    selections.selection,
    selections.event_keys,
    selections.first_date,
    selections.last_date,
    selections.user_id_from[1] as user_id_field,
    selections.anonymous_id_from[1] as device_id_field,
    selections.frequency = 'one_time' as is_backfill,
    settings.amplitude_min_id_length as min_id_length,

    -- Another mapping or another list of junk selects other events: it is another definition.
    {{ hash_of([
        'selections.source',
        'selections.selection',
        'selections.event_keys',
        'selections.first_date',
        'selections.last_date',
        'selections.user_id_from',
        'selections.anonymous_id_from',
        'settings.amplitude_min_id_length',
        'moengage_map.digest',
        'clevertap_map.digest',
        'junk_ids.digest',
    ]) }} as definition_hash
from selections
cross join settings
cross join moengage_map
cross join clevertap_map
cross join junk_ids
