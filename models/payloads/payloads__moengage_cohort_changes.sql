-- One row per member to be added to or removed from a MoEngage segment by a cohort-sync request.
with

-- A request carries user ids only; anonymous keys are for a file to be uploaded by hand.
changes as (

    select * from {{ ref('cohorts__membership_changes') }}
    where
        destination = 'moengage'
        and key_type = 'user_id'
        and not is_parked

),

settings as (

    select * from {{ ref('stg_relay__settings') }}

),

named as (

    select
        changes.*,
        to_json({{ moengage_segment_name(
            'changes.cohort_name', 'settings.moengage_cohort_name_format'
        ) }}) as segment_name
    from changes
    cross join settings

)

select
    -- keys
    sync_name,
    destination,
    cohort_id,
    cohort_name,
    row_number() over (
        partition by sync_name
        order by phase, cohort_name, match_key, change_id
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
    cast(json_object('uid', key_value) as varchar) as record,
    '{"action":"' || if(phase = 1, 'remove_members', 'add_members')
    || '","partner":"Amplitude","parameters":{"cohort_name":' || segment_name
    || ',"cohort_id":' || to_json(cohort_id)
    || ',"members":[' as body_prefix,
    ']}}' as body_suffix
from named
