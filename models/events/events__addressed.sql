-- One row per export and waiting event: the ids to send it under, who that is, or why not.
{{ config(materialized='table') }}

with

spelt as (

    select * from {{ ref('events__spelt') }}

),

users as (

    select * from {{ ref('events__known_identifiers') }}
    where id_type = 'user_id'

),

devices as (

    select * from {{ ref('events__known_devices') }}

),

persons as (

    select * from {{ ref('identity__resolved_persons') }}

),

suppressions as (

    select * from {{ ref('stg_relay__suppressions') }}

),

-- Nobody need have been seen in Amplitude to be on the list.
sent_ids as (

    select distinct
        'user_id' as id_type,
        user_id as id_value
    from spelt

    union all

    select distinct
        'device_id' as id_type,
        device_id as id_value
    from spelt

),

suppressed_ids as (

    select distinct
        sent_ids.id_type,
        sent_ids.id_value
    from sent_ids
    inner join suppressions
        on
            sent_ids.id_type = suppressions.id_type
            and if(
                suppressions.match = 'regex',
                regexp_full_match(sent_ids.id_value, suppressions.id_value),
                sent_ids.id_value = suppressions.id_value
            )

),

-- An event is of the person of its user id; without one, of the device's owner.
attributed as (

    select
        spelt.*,
        if(spelt.user_id is null, devices.anchor_key, users.anchor_key) as anchor_key,
        spelt.is_user_suppressed
        or suppressed_users.id_value is not null
        or suppressed_devices.id_value is not null as is_id_suppressed
    from spelt
    left join users
        on spelt.user_id = users.id_value
    left join devices
        on spelt.device_id = devices.device_id
    left join suppressed_ids as suppressed_users
        on
            suppressed_users.id_type = 'user_id'
            and spelt.user_id = suppressed_users.id_value
    left join suppressed_ids as suppressed_devices
        on
            suppressed_devices.id_type = 'device_id'
            and spelt.device_id = suppressed_devices.id_value

)

select
    -- keys
    attributed.sync_name,
    attributed.source,
    attributed.event_id,

    -- the event
    attributed.event_type,
    attributed.event_kind,
    attributed.channel,
    attributed.is_history,
    attributed.min_id_length,

    -- identifiers
    attributed.user_id,
    attributed.device_id,
    persons.person_id,
    persons.anchor,
    attributed.notes,
    case
        when coalesce(attributed.user_id, attributed.device_id) is null then 'id_too_short'
        when attributed.is_id_suppressed or coalesce(persons.is_suppressed, false)
            then 'suppressed'
    end as drop_reason,

    -- what came of it so far
    attributed.outcome,
    attributed.rejected_payload_hash,
    attributed.first_attempted_at,

    -- times
    attributed.event_at,

    -- lineage
    attributed.source_file,
    attributed.load_id
from attributed
left join persons
    on attributed.anchor_key = persons.anchor_key
