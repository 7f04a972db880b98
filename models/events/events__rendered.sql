-- One row per export and addressed event: its record as Amplitude's HTTP API takes it.
with

addressed as (

    select * exclude (drop_reason)
    from {{ ref('events__addressed') }}
    where drop_reason is null

),

properties as (

    select
        event_id,
        {{ json_object_of('property', 'property_value') }} as event_properties
    from {{ ref('events__properties') }}
    group by event_id

),

limits as (

    select max_bytes
    from {{ ref('request_limits') }}
    where destination = 'amplitude' and delivery = 'events'

),

rendered as (

    select
        addressed.*,
        limits.max_bytes,
        -- Keys without a value are left out: Amplitude takes no null for an id.
        '{' || array_to_string(
            list_filter(
                [
                    '"user_id":' || cast(to_json(addressed.user_id) as varchar),
                    '"device_id":' || cast(to_json(addressed.device_id) as varchar),
                    '"event_type":' || cast(to_json(addressed.event_type) as varchar),
                    '"time":' || epoch_ms(addressed.event_at),
                    '"event_properties":' || cast(properties.event_properties as varchar),
                    -- History neither takes nor changes what the user's profile says today.
                    if(addressed.is_history, '"$skip_user_properties_sync":true', null),
                    '"insert_id":' || cast(to_json(addressed.event_id) as varchar)
                ],
                lambda pair: pair is not null -- noqa: RF02
            ),
            ','
        ) || '}' as record
    from addressed
    inner join properties
        on addressed.event_id = properties.event_id
    cross join limits

)

select
    * exclude (max_bytes),
    {{ hash_of(['record']) }} as payload_hash,
    -- What goes around the records of a request takes less than a hundred bytes.
    if(strlen(record) > max_bytes - 100, 'too_large', null) as drop_reason
from rendered
