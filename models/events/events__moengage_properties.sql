-- One row per waiting event of MoEngage and property of it, as Amplitude gets it.
-- An event's own attributes go along, under the map's names; of its user only what the map has.
-- Keys are compared without case and joining marks: `campaignId` is `campaign_id`.
with

waiting as (

    select distinct
        event_id,
        load_id
    from {{ ref('events__waiting') }}
    where source = 'moengage'

),

events as (

    select
        waiting.event_id,
        events.event_attributes,
        events.user_attributes,
        to_json({
            'event_code': events.event_code,
            'event_name': events.event_name,
            'email_id': events.email_id,
            'email_address': json_extract(events.extra, '$.email_address'),
            'push_id': events.push_id,
            'mobile_number': events.mobile_number
        }) as own_fields
    from {{ ref('stg_moengage__events') }} as events
    inner join waiting
        on
            events.load_id = waiting.load_id
            and 'relay:moengage:' || events.event_uuid = waiting.event_id

),

property_map as (

    select * from {{ ref('moengage_property_map') }}

),

campaign_values as (

    select * from {{ ref('moengage_campaign_values') }}

),

objects as (

    select
        event_id,
        'event_attributes' as source_object,
        event_attributes as held
    from events
    union all
    select
        event_id,
        'user_attributes' as source_object,
        user_attributes as held
    from events
    union all
    select
        event_id,
        'event' as source_object,
        own_fields as held
    from events

),

fields as (

    select
        objects.event_id,
        objects.source_object,
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
        coalesce(property_map.priority, 100) as priority,
        fields.source_key,
        fields.property_value
    from fields
    left join property_map
        on
            fields.source_object = property_map.source_object
            and {{ event_name_key('fields.source_key') }}
            = {{ event_name_key('property_map.source_key') }}
    where fields.source_object = 'event_attributes' or property_map.target_property is not null

),

chosen as (

    select *
    from mapped
    qualify row_number() over (
        partition by event_id, property
        order by priority, source_key, cast(property_value as varchar)
    ) = 1

)

select
    chosen.event_id,
    chosen.property,
    coalesce(to_json(campaign_values.target_value), chosen.property_value) as property_value
from chosen
left join campaign_values
    on
        chosen.property = campaign_values.target_property
        and {{ event_name_key("(chosen.property_value ->> '$')") }}
        = {{ event_name_key('campaign_values.source_value') }}
