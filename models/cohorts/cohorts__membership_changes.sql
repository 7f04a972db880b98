-- One row per change a sync owes its destination: a key to add, to remove or to re-assert.
with

compared as (

    select * from {{ ref('cohorts__compared_keys') }}

),

replaced as (

    select * from {{ ref('cohorts__replaced_keys') }}

),

syncs as (

    select * from {{ ref('cohorts__current_syncs') }}

),

undone as (

    select * from {{ ref('cohorts__undone_changes') }}

),

settings as (

    select * from {{ ref('stg_relay__settings') }}

),

-- From each key that goes to each key the people behind it have now.
moves as (

    select
        sync_name,
        { 'key_type': key_type, 'match_key': match_key } as old_key,
        unnest(replaced_by) as new_key
    from replaced
    where reason = 'rekeyed'

),

moved_to as (

    select
        sync_name,
        new_key.key_type,
        new_key.match_key,
        list(old_key order by old_key) as after
    from moves
    group by sync_name, new_key.key_type, new_key.match_key

),

renamed as (

    select
        sync_name,
        key_type,
        match_key
    from replaced
    where reason = 'renamed'

),

changes as (

    select
        compared.*,
        -- The destination may hold both keys as one user: the removal would take the member out.
        case
            when compared.list_name in ('added', 'removed') then compared.list_name
            when compared.list_name = 'unchanged' and moved_to.match_key is not null
                then 'reasserted'
        end as action,
        case
            when compared.list_name = 'removed' then replaced.reason
            when compared.is_in_doubt then 'resend'
            when moved_to.match_key is not null then 'rekeyed'
            when renamed.match_key is not null then 'renamed'
            else 'entered'
        end as reason,
        replaced.replaced_by,
        if(compared.list_name = 'removed', null, moved_to.after) as after
    from compared
    left join replaced
        on
            compared.sync_name = replaced.sync_name
            and compared.segment = replaced.segment
            and compared.key_type = replaced.key_type
            and compared.match_key = replaced.match_key
    left join moved_to
        on
            compared.sync_name = moved_to.sync_name
            and compared.key_type = moved_to.key_type
            and compared.match_key = moved_to.match_key
    left join renamed
        on
            compared.sync_name = renamed.sync_name
            and compared.key_type = renamed.key_type
            and compared.match_key = renamed.match_key

),

described as (

    select
        -- keys
        changes.sync_name,
        syncs.destination,
        syncs.delivery,
        syncs.cohort_id,
        changes.segment,
        changes.key_type,
        changes.match_key,

        -- the change
        if(changes.action = 'removed', 1, 2) as phase,
        changes.action,
        changes.reason,
        if(changes.action = 'removed', changes.known_key_value, changes.key_value) as key_value,
        if(changes.action = 'removed', changes.known_cohort_name, syncs.cohort_name)
            as cohort_name,
        changes.replaced_by,
        changes.after,
        changes.person_ids,
        if(changes.action = 'removed', changes.known_anchors, changes.anchors) as anchors,
        changes.is_parked,
        changes.rejected_payload_hash
    from changes
    inner join syncs
        on changes.sync_name = syncs.sync_name
    where
        changes.action in ('added', 'removed')
        or (changes.action = 'reasserted' and syncs.reasserts)

),

-- A run that undoes a plan sends its inverse, and nothing of the difference.
owed as (

    select described.*
    from described
    inner join settings
        on settings.undoes is null
    union all by name
    select * from undone

),

hashed as (

    select
        *,
        {{ hash_of(['sync_name', 'segment', 'action', 'key_type', 'match_key']) }} as change_id,
        -- What would be sent, but for its time: a rejected row stays parked until this moves.
        {{ hash_of(['phase', 'key_type', 'key_value', 'cohort_name', 'delivery']) }}
            as payload_hash
    from owed

)

select
    -- keys
    hashed.sync_name,
    hashed.destination,
    hashed.delivery,
    hashed.cohort_id,
    hashed.segment,
    hashed.key_type,
    hashed.match_key,
    hashed.change_id,

    -- the change
    hashed.phase,
    hashed.action,
    hashed.reason,
    hashed.key_value,
    hashed.cohort_name,
    hashed.replaced_by,
    hashed.after,
    hashed.payload_hash,
    hashed.is_parked
    and hashed.payload_hash = hashed.rejected_payload_hash
    and not settings.retries_rejected as is_parked,

    -- One person where there is one; all of them stand in person_ids.
    hashed.person_ids[1] as person_id,
    hashed.person_ids,
    hashed.anchors
from hashed
cross join settings
