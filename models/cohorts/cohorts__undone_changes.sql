-- One row per delivered change of the plan that this run undoes, turned around; none in other runs.
with

settings as (

    select * from {{ ref('stg_relay__settings') }}

),

row_outcomes as (

    select * from {{ ref('ledger__row_outcomes') }}

),

syncs as (

    select * from {{ ref('cohorts__current_syncs') }}

),

known as (

    select * from {{ ref('ledger__confirmed_keys') }}

),

persons as (

    select * from {{ ref('identity__persons') }}
    where is_suppressed

),

person_ids as (

    select * from {{ ref('identity__person_ids') }}

),

suppressed_identifiers as (

    select person_ids.identifier
    from person_ids
    inner join persons
        on person_ids.person_id = persons.person_id

),

-- A re-assertion, a refresh and a rename left the member where it was: there is nothing to undo.
delivered as (

    select
        row_outcomes.*,
        {{ segment_of('destination', 'cohort_id', 'cohort_name') }} as segment
    from row_outcomes
    semi join settings
        on row_outcomes.plan_id = settings.undoes
    where
        row_outcomes.sync_kind = 'cohort_sync'
        and row_outcomes.outcome = 'delivered'
        and row_outcomes.action in ('added', 'removed')

),

-- Only what still is as that plan left it, and never somebody who must not be sent.
undoable as (

    select
        delivered.*,
        coalesce(known.is_confirmed, false) as is_confirmed
    from delivered
    left join known
        on
            delivered.sync_name = known.sync_name
            and delivered.segment = known.segment
            and delivered.key_type = known.key_type
            and delivered.match_key = known.match_key
    where
        not coalesce(known.is_in_doubt, false)
        and coalesce(known.is_confirmed, false) = (delivered.action = 'added')
        and (
            delivered.action = 'added'
            or not exists (
                select 1
                from suppressed_identifiers
                where list_contains(delivered.anchors, suppressed_identifiers.identifier)
            )
        )

)

select
    -- keys
    undoable.sync_name,
    syncs.destination,
    syncs.delivery,
    syncs.cohort_id,
    undoable.segment,
    undoable.key_type,
    undoable.match_key,

    -- the change
    if(undoable.action = 'added', 1, 2) as phase,
    if(undoable.action = 'added', 'removed', 'added') as action,
    'undone' as reason,
    undoable.key_value,
    undoable.cohort_name,
    cast([] as struct(key_type varchar, match_key varchar)[]) as replaced_by,
    cast(null as struct(key_type varchar, match_key varchar)[]) as after,
    undoable.person_ids,
    undoable.anchors,
    false as is_parked,
    cast(null as varchar) as rejected_payload_hash
from undoable
inner join syncs
    on undoable.sync_name = syncs.sync_name
