-- One row per export and waiting event: its ids as Amplitude spells them, those of a legal length.
with

waiting as (

    select * from {{ ref('events__waiting') }}

),

restored as (

    select * from {{ ref('events__restored_ids') }}

),

joined as (

    select
        waiting.*,
        coalesce(restored_users.id_value, waiting.user_value) as spelt_user_id,
        coalesce(restored_devices.id_value, waiting.device_value) as spelt_device_id,
        coalesce(restored_users.is_ambiguous, false) as is_user_ambiguous,
        coalesce(restored_users.is_suppressed, false) as is_user_suppressed
    from waiting
    left join restored as restored_users
        on
            waiting.source = 'clevertap'
            and restored_users.id_type = 'user_id'
            and waiting.user_value = restored_users.asked_value
    left join restored as restored_devices
        on
            waiting.source = 'clevertap'
            and restored_devices.id_type = 'device_id'
            and waiting.device_value = restored_devices.asked_value

),

measured as (

    select
        *,
        if(length(spelt_user_id) >= min_id_length, spelt_user_id, null) as user_id,
        if(length(spelt_device_id) >= min_id_length, spelt_device_id, null) as device_id
    from joined

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
    is_history,
    min_id_length,

    -- identifiers
    user_id,
    device_id,
    is_user_suppressed,
    list_concat(
        notes,
        list_filter(
            [
                if(spelt_user_id != user_value, 'user_id:restored', null),
                if(is_user_ambiguous, 'user_id:ambiguous', null),
                if(length(spelt_user_id) < min_id_length, 'user_id:too_short', null),
                if(spelt_device_id != device_value, 'device_id:restored', null),
                if(length(spelt_device_id) < min_id_length, 'device_id:too_short', null)
            ],
            lambda note: note is not null
        )
    ) as notes,

    -- what came of it so far
    outcome,
    rejected_payload_hash,
    first_attempted_at,

    -- times
    event_at,

    -- lineage
    source_file,
    load_id
from measured
