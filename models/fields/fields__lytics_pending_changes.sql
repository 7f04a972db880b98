-- One row per change to be sent to Lytics: those of membership, and members whose row has moved.
with

changes as (

    select * from {{ ref('cohorts__membership_changes') }}
    where destination = 'lytics'

),

syncs as (

    select * from {{ ref('cohorts__current_syncs') }}
    where destination = 'lytics' and no_snapshot_reason is null

),

run as (

    select * from {{ ref('stg_relay__run') }}

),

known as (

    select * from {{ ref('ledger__confirmed_keys') }}

),

profile_hashes as (

    select * from {{ ref('fields__lytics_cohort_profile_hashes') }}

),

of_membership as (

    select
        changes.sync_name,
        changes.cohort_id,
        changes.segment,
        changes.cohort_name,
        changes.change_id,
        changes.phase,
        changes.action,
        changes.reason,
        changes.key_type,
        changes.key_value,
        changes.match_key,
        changes.person_ids,
        changes.anchors,
        concat_ws(
            '-', changes.payload_hash, if(changes.phase = 2, profile_hashes.profile_hash, null)
        ) as payload_hash
    from changes
    left join profile_hashes
        on
            changes.sync_name = profile_hashes.sync_name
            and changes.key_type = profile_hashes.key_type
            and changes.match_key = profile_hashes.match_key
    where not changes.is_parked

),

-- Who is a member as before, but was sent with other fields. An undo takes nothing up.
refreshed as (

    select
        syncs.sync_name,
        syncs.cohort_id,
        syncs.segment,
        syncs.cohort_name,
        {{ hash_of([
            'syncs.sync_name', 'syncs.segment', "'refreshed'", 'known.key_type', 'known.match_key'
        ]) }} as change_id,
        2 as phase,
        'refreshed' as action,
        'fields_moved' as reason,
        known.key_type,
        known.key_value,
        known.match_key,
        known.person_ids,
        known.anchors,
        concat_ws(
            '-', split_part(known.delivered_payload_hash, '-', 1), profile_hashes.profile_hash
        ) as payload_hash
    from known
    inner join syncs
        on known.sync_name = syncs.sync_name and known.segment = syncs.segment
    inner join profile_hashes
        on
            known.sync_name = profile_hashes.sync_name
            and known.key_type = profile_hashes.key_type
            and known.match_key = profile_hashes.match_key
    inner join run
        on run.undoes is null
    anti join changes
        on
            known.sync_name = changes.sync_name
            and known.key_type = changes.key_type
            and known.match_key = changes.match_key
    where
        known.is_confirmed
        and not known.is_in_doubt
        and contains(known.delivered_payload_hash, '-')
        and not ends_with(known.delivered_payload_hash, profile_hashes.profile_hash)

),

both_kinds as (

    select * from of_membership
    union all
    select * from refreshed

)

-- A row that was rejected stays parked until what it would say is something else.
select both_kinds.*
from both_kinds
cross join run
left join known
    on
        both_kinds.sync_name = known.sync_name
        and both_kinds.segment = known.segment
        and both_kinds.key_type = known.key_type
        and both_kinds.match_key = known.match_key
where
    run.retries_rejected
    or not coalesce(
        known.is_parked and known.rejected_payload_hash = both_kinds.payload_hash, false
    )
