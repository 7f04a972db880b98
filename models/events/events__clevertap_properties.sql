-- One row per waiting event of CleverTap and property of it, as Amplitude gets it.
-- CleverTap spells its own keys in several ways: compared without case and joining marks.
with

waiting as (

    select distinct
        event_id,
        load_id
    from {{ ref('events__waiting') }}
    where source = 'clevertap'

),

events as (

    select
        waiting.event_id,
        events.event_props,
        events.session_props,
        to_json({
            'ct_event_name': events.event_name,
            'control_group_name': events.control_group_name
        }) as own_fields
    from {{ ref('stg_clevertap__events') }} as events
    inner join waiting
        on
            events.load_id = waiting.load_id
            and 'relay:clevertap:' || events.event_key || '-' || events.occurrence
            = waiting.event_id

),

property_map as (

    select * from {{ ref('clevertap_property_map') }}

),

objects as (

    select
        event_id,
        0 as object_order,
        event_props as held
    from events
    union all
    select
        event_id,
        1 as object_order,
        session_props as held
    from events
    union all
    select
        event_id,
        2 as object_order,
        own_fields as held
    from events

),

fields as (

    select
        objects.event_id,
        objects.object_order,
        entries.key as source_key,
        entries.value as property_value
    from objects
    cross join json_each(objects.held) as entries
    where entries.type != 'NULL'

),

mapped as (

    select
        fields.event_id,
        coalesce(property_map.target_property, fields.source_key) as property,
        coalesce(property_map.priority, 100) + fields.object_order * 1000 as priority,
        fields.source_key,
        fields.property_value
    from fields
    left join property_map
        on {{ event_name_key('fields.source_key') }} = property_map.source_key

),

chosen as (

    select *
    from mapped
    qualify row_number() over (
        partition by event_id, property
        order by priority, source_key, cast(property_value as varchar)
    ) = 1

),

-- `campaignID`; `campaignID_YYYYMMDD` of a recurring campaign, `campaignID_<epoch>` triggered.
campaigns as (

    select
        event_id,
        'campaign_base_id' as property,
        to_json(nullif(
            regexp_extract(property_value ->> '$', '^(\d+)(?:_(?:\d{8}|\d{9,}))?$', 1), ''
        )) as property_value
    from chosen
    where property = 'campaign_id'

)

select
    event_id,
    property,
    property_value
from chosen
where property != 'campaign_base_id'
union all
select
    event_id,
    property,
    property_value
from campaigns
where property_value is not null
