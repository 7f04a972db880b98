-- One row per change to be sent to CleverTap: a Partner Sync event, an edit of a profile's list, or
-- a line more or less of a custom list.
with

owed as (

    select * from {{ ref('cohorts__membership_changes') }}
    where destination = 'clevertap'

),

moving_lists as (

    select distinct sync_name
    from owed
    where delivery = 'custom_list' and not is_parked

),

-- A custom list is sent whole: once anything of it moves, what was refused before goes along.
changes as (

    select owed.*
    from owed
    left join moving_lists
        on owed.sync_name = moving_lists.sync_name
    where not owed.is_parked or moving_lists.sync_name is not null

),

settings as (

    select * from {{ ref('stg_relay__settings') }}

),

run as (

    select * from {{ ref('stg_relay__run') }}

),

-- One call a list; that of the segment's name of today comes last, after lists that ended.
lists as (

    select
        sync_name,
        cohort_name,
        row_number() over (
            partition by sync_name
            order by max(phase) desc, cohort_name desc
        ) as place
    from changes
    where delivery = 'custom_list'
    group by sync_name, cohort_name

),

stamped as (

    select
        changes.*,
        lists.place,
        settings.clevertap_event_name as event_name,
        settings.clevertap_list_email as list_email,
        settings.clevertap_list_creator as list_creator,
        changes.sync_name || '.members' || if(lists.place > 1, '-' || lists.place, '') || '.csv'
            as list_file,
        -- Removals first: CleverTap goes by the time of an event, not by its arrival.
        cast(epoch(run.planned_at) as bigint) + changes.phase - 1 as ts,
        if(changes.action = 'removed', 'Removed', 'Added') as partner_action
    from changes
    cross join settings
    cross join run
    left join lists
        on changes.sync_name = lists.sync_name and changes.cohort_name = lists.cohort_name

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
        order by place desc, phase asc, key_type asc, match_key asc
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
            when delivery = 'custom_list'
                then json_object('Type', if(key_type = 'identity', 'i', 'g'), 'Identity', key_value)
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
    -- The list itself goes as a file; its call, all but the address, is the same for every line.
    if(
        delivery = 'custom_list',
        cast(
            json_object(
                'creator', list_creator, 'email', list_email, 'filename', list_file,
                'name', cohort_name, 'replace', true
            ) as varchar
        ),
        '{"d":['
    ) as body_prefix,
    if(delivery = 'custom_list', '', ']}') as body_suffix
from rendered
