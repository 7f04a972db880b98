-- One row per change a sync owes its destination: a key to add, remove, name anew or re-assert.
with

added as (

    select * from {{ ref('cohorts__added_keys') }}

),

removed as (

    select * from {{ ref('cohorts__removed_keys') }}

),

syncs as (

    select * from {{ ref('cohorts__current_syncs') }}

),

undone as (

    select * from {{ ref('cohorts__undone_changes') }}

),

run as (

    select * from {{ ref('stg_relay__run') }}

),

-- Few of all there are.
persons as (

    select
        anchor_key,
        person_id,
        anchor
    from {{ ref('identity__resolved_persons') }}
    where anchor_key in ({{ keys_of('added', 'anchor_key') }})

),

-- Nearly every key has one person; of the others these are the further ones.
further_persons as (

    select
        members.sync_name,
        members.key_type,
        members.match_key,
        list(persons.person_id order by persons.person_id) as person_ids,
        list(persons.anchor order by persons.person_id) as anchors
    from {{ ref('identity__keys') }} as members
    inner join {{ ref('identity__resolved_persons') }} as persons
        on members.anchor_key = persons.anchor_key
    semi join added
        on
            members.sync_name = added.sync_name
            and members.key_type = added.key_type
            and members.match_key = added.match_key
    -- The other rows of a key have no hash: where every row has one nothing is read.
    where
        members.status = 'ok'
        and not members.is_first_of_key
        and members.key_hash is null
    group by members.sync_name, members.key_type, members.match_key

),

of_members as (

    select
        added.* exclude (anchor_key),  -- noqa: RF02
        list_concat([persons.person_id], further_persons.person_ids) as person_ids,
        list_concat([persons.anchor], further_persons.anchors) as anchors
    from added
    inner join persons
        on added.anchor_key = persons.anchor_key
    left join further_persons
        on
            added.sync_name = further_persons.sync_name
            and added.key_type = further_persons.key_type
            and added.match_key = further_persons.match_key

),

differing as (

    select
        *,
        1 as phase,
        'removed' as action
    from removed
    union all by name
    select * from of_members

),

-- A run that undoes a plan sends its inverse, and nothing of the difference.
owed as (

    select
        differing.*,
        syncs.destination,
        syncs.delivery,
        syncs.cohort_id
    from differing
    inner join syncs
        on differing.sync_name = syncs.sync_name
    inner join run
        on run.undoes is null
    union all by name
    select * from undone

),

hashed as (

    select
        *,
        {{ hash_of(['sync_name', 'segment', 'phase', 'action', 'key_type', 'match_key']) }}
            as change_id,
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
    and not run.retries_rejected as is_parked,

    -- One person where there is one; all of them stand in person_ids.
    hashed.person_ids[1] as person_id,
    hashed.person_ids,
    hashed.anchors
from hashed
cross join run
