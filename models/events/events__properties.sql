-- One row per waiting event and property Amplitude gets: the source's own, and what we add.
with

addressed as (

    select distinct
        event_id,
        source,
        event_kind,
        channel
    from {{ ref('events__addressed') }}

),

said as (

    select
        event_id,
        unnest(['$source', 'moe_event_kind', 'moe_channel']) as property,
        unnest([upper(source), event_kind, channel]) as text_value
    from addressed

),

together as (

    select
        event_id,
        property,
        to_json(text_value) as property_value,
        1 as priority
    from said
    where text_value is not null

    union all

    select
        event_id,
        property,
        property_value,
        2 as priority
    from {{ ref('events__moengage_properties') }}

    union all

    select
        event_id,
        property,
        property_value,
        2 as priority
    from {{ ref('events__clevertap_properties') }}

)

select
    event_id,
    property,
    property_value
from together
qualify row_number() over (
    partition by event_id, property
    order by priority
) = 1
