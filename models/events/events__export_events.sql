-- One row per enabled export and event it selects: the values to address it by, or why not.
with

junk_ids as (

    select * from {{ ref('stg_relay__junk_ids') }}

),

exports as (

    select * from {{ ref('events__exports') }}

),

events as (

    select * from {{ ref('events__engagement') }}

),

-- An event without a readable time is on no day; it is selected, to be dropped with its reason.
selected as (

    select
        exports.sync_name,
        exports.is_backfill,
        exports.min_id_length,
        events.*,
        case exports.user_id_field
            when 'uid' then events.customer_id
            when 'identity' then events.clevertap_identity
            when 'email' then events.email
            when 'phone' then events.phone
        end as read_user_id,
        case exports.device_id_field
            when 'moe_anonymous_id' then events.anonymous_id
            when 'objectId' then events.object_id
        end as read_device_id
    from exports
    inner join events
        on exports.source = events.source
    where
        (
            exports.selection = 'all'
            or (exports.selection = 'engagement' and events.is_engagement)
            or (
                exports.selection = 'named'
                and list_has_any(
                    exports.event_keys,
                    [
                        {{ event_name_key('events.event_type') }},
                        {{ event_name_key('events.event_name') }},
                        {{ event_name_key('events.event_code') }}
                    ]
                )
            )
        )
        and coalesce(events.event_date >= exports.first_date, true)
        and coalesce(events.event_date <= exports.last_date, true)

),

judged as (

    select
        *,
        {{ is_junk('user_id', 'read_user_id') }}
        or (
            source = 'clevertap'
            and {{ is_junk('clevertap_identity', 'read_user_id') }}
        ) as is_user_id_blocked,
        {{ is_junk('device_id', 'read_device_id') }}
        or (
            source = 'moengage'
            and {{ is_junk('moe_anonymous_id', 'read_device_id') }}
        ) as is_device_id_blocked,
        -- CleverTap's spelling is restored before its length counts (events.addressed).
        source = 'moengage' and length(read_user_id) < min_id_length as is_user_id_short,
        source = 'moengage' and length(read_device_id) < min_id_length as is_device_id_short
    from selected

),

usable as (

    select
        *,
        case
            when not (is_user_id_blocked or coalesce(is_user_id_short, false)) then read_user_id
        end as user_value,
        case
            when not (is_device_id_blocked or coalesce(is_device_id_short, false))
                then read_device_id
        end as device_value
    from judged

)

select
    -- keys
    sync_name,
    source,
    event_id,

    -- the event
    event_type,
    event_kind,
    channel,
    is_withdrawn,
    is_backfill,
    min_id_length,

    -- identifiers
    user_value,
    device_value,
    list_filter(
        [
            if(is_user_id_blocked, 'user_id:blocked', null),
            if(is_user_id_short and not is_user_id_blocked, 'user_id:too_short', null),
            if(is_device_id_blocked, 'device_id:blocked', null),
            if(is_device_id_short and not is_device_id_blocked, 'device_id:too_short', null)
        ],
        lambda note: note is not null
    ) as notes,
    case
        when event_type is null then 'no_event_type'
        when event_type in ('$identify', '$groupidentify') or event_type like '[Amplitude] %'
            then 'reserved_event_type'
        when event_at is null then 'no_time'
        -- Neither vendor is older, and a clock that is wrong would move a user's first day.
        when event_at < timestamp '2013-01-01' or event_at > loaded_at + interval 1 day
            then 'implausible_time'
        when coalesce(user_value, device_value) is not null then null
        when is_user_id_blocked or is_device_id_blocked then 'id_blocked'
        when is_user_id_short or is_device_id_short then 'id_too_short'
        else 'no_id'
    end as drop_reason,

    -- times
    event_at,

    -- lineage
    source_file,
    load_id,
    loaded_at
from usable
