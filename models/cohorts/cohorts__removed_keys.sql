-- One row per key to be removed: why, and under which keys the people behind it are members now.
with

removed as materialized (

    select
        *,
        row_number() over () as removal_number
    from {{ ref('cohorts__compared_keys') }}
    where list_name = 'removed'

),

desired as (

    select * from {{ ref('cohorts__desired_keys') }}

),

anchors as (

    select
        removal_number,
        sync_name,
        {{ key_of_identifier('anchor') }} as identifier_key
    from (
        select
            removal_number,
            sync_name,
            unnest(known_anchors) as anchor
        from removed
    ) as behind_keys

),

identifiers as (

    select
        identifier_key,
        anchor_key
    from {{ ref('identity__identifiers') }}
    where identifier_key in ({{ keys_of('anchors', 'identifier_key') }})

),

-- Who holds, today, the anchor that was stored with the key when it was sent.
holders as (

    select
        anchors.removal_number,
        anchors.sync_name,
        identifiers.anchor_key
    from anchors
    left join identifiers
        on anchors.identifier_key = identifiers.identifier_key

),

-- Most have left the cohort and have no key now: of all keys, only those of the others are read.
member_keys as (

    select * from {{ ref('identity__keys') }}
    where anchor_key in ({{ keys_of('holders', 'anchor_key') }})

),

held as (

    select
        holders.*,
        member_keys.status,
        if(
            member_keys.status = 'ok',
            { 'key_type': member_keys.key_type, 'match_key': member_keys.match_key },
            null
        ) as new_key
    from holders
    left join member_keys
        on
            holders.anchor_key = member_keys.anchor_key
            and holders.sync_name = member_keys.sync_name

),

summed as (

    select
        removal_number,
        case
            when bool_or(status = 'ok') then 'rekeyed'
            when bool_or(status is not null) then 'unsendable'
            when bool_or(anchor_key is not null) then 'left_cohort'
            else 'person_gone'
        end as reason,
        list(distinct new_key order by new_key) filter (where new_key is not null) as replaced_by
    from held
    group by removal_number

),

-- The same key, wanted under the segment's new name.
renamed as (

    select removed.removal_number
    from removed
    semi join desired
        on
            removed.sync_name = desired.sync_name
            and removed.key_type = desired.key_type
            and removed.match_key = desired.match_key
    where not removed.is_current

)

select
    -- keys
    removed.sync_name,
    removed.segment,
    removed.key_type,
    removed.match_key,

    -- why
    if(
        renamed.removal_number is not null, 'renamed', coalesce(summed.reason, 'person_gone')
    ) as reason,
    if(renamed.removal_number is not null, [], coalesce(summed.replaced_by, [])) as replaced_by,

    -- as it was sent
    removed.known_key_value as key_value,
    removed.known_cohort_name as cohort_name,
    removed.known_person_ids as person_ids,
    removed.known_anchors as anchors,
    removed.is_parked,
    removed.rejected_payload_hash
from removed
left join summed
    on removed.removal_number = summed.removal_number
left join renamed
    on removed.removal_number = renamed.removal_number
