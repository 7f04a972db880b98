-- One row per change to be sent to CleverTap: a Partner Sync event, or an edit of a profile list.
with

changes as (

    select * from {{ ref('cohorts__membership_changes') }}
    where
        destination = 'clevertap'
        and not is_parked

),

settings as (

    select * from {{ ref('stg_relay__settings') }}

),

run as (

    select * from {{ ref('stg_relay__run') }}

),

stamped as (

    select
        changes.*,
        settings.clevertap_event_name as event_name,
        -- Removals first: CleverTap goes by the time of an event, not by its arrival.
        cast(epoch(run.planned_at) as bigint) + changes.phase - 1 as ts,
        if(changes.action = 'removed', 'Removed', 'Added') as partner_action
    from changes
    cross join settings
    cross join run

),

rendered as (

    select
        *,
        to_json({
            'Partner Segment Name': cohort_name,
            'Action': partner_action,
            'Partner Segment ID': cohort_id,
            'CT Source': 'Amplitude',
            'Partner Name': 'Amplitude'
        }) as event_data,
        json_object(
            'Amplitude Cohorts',
            json_object(if(action = 'removed', '$remove', '$add'), json_array(cohort_name))
        ) as profile_data
    from stamped

)

select
    -- keys
    sync_name,
    destination,
    cohort_id,
    cohort_name,
    row_number() over (
        partition by sync_name
        order by phase, key_type, match_key
    ) as position,
    phase,
    change_id,

    -- the change
    action,
    reason,
    key_type,
    key_value,
    match_key,
    person_ids,
    anchors,
    payload_hash,

    -- what is sent
    cast(
        case
            when delivery = 'profile_property' and key_type = 'identity'
                then json_object(
                    'type', 'profile', 'identity', key_value, 'ts', ts, 'profileData', profile_data
                )
            when delivery = 'profile_property'
                then json_object(
                    'type', 'profile', 'objectId', key_value, 'ts', ts, 'profileData', profile_data
                )
            when key_type = 'identity'
                then json_object(
                    'type', 'event', 'identity', key_value, 'ts', ts,
                    'evtName', event_name, 'evtData', event_data
                )
            else json_object(
                'type', 'event', 'objectId', key_value, 'ts', ts,
                'evtName', event_name, 'evtData', event_data
            )
        end as varchar
    ) as record,
    '{"d":[' as body_prefix,
    ']}' as body_suffix
from rendered
