-- One row per delivered change of the plan that this run undoes, turned around; none in other runs.
{{ config(materialized='view') }}

with

run as (

    select * from {{ ref('stg_relay__run') }}

),

-- Of the plan alone: in an ordinary run nothing.
outcomes as (

    select
        outcomes.*,
        outcomes as told  -- noqa: RF02
    from {{ ref('ledger__request_outcomes') }} as outcomes
    semi join run
        on outcomes.plan_id = run.undoes

),

plan_syncs as (

    select * from {{ ref('stg_ledger__plan_syncs') }}
    where sync_kind = 'cohort_sync'

),

plan_rows as (

    select plan_rows.* from {{ ref('stg_ledger__plan_rows') }} as plan_rows
    semi join run
        on plan_rows.plan_id = run.undoes

),

syncs as (

    select * from {{ ref('cohorts__current_syncs') }}

),

suppressed as (

    {{ suppressed_identifiers() }}

),

-- A re-assertion, a refresh and a rename left the member where it was: there is nothing to undo.
delivered as (

    select
        plan_rows.*,
        {{ segment_of('plan_syncs.destination', 'plan_syncs.cohort_id', 'plan_rows.cohort_name') }}
            as segment
    from plan_rows
    inner join plan_syncs
        on plan_rows.plan_id = plan_syncs.plan_id and plan_rows.sync_name = plan_syncs.sync_name
    {{ join_what_was_told('plan_rows') }}
    where
        coalesce(positions.told, requests.told, whole_syncs.told).outcome = 'delivered'
        and plan_rows.action in ('added', 'removed')

),

known as (

    select known.* from {{ ref('ledger__confirmed_keys') }} as known
    inner join run
        on run.undoes is not null

),

anchors as (

    select
        change_id,
        unnest(anchors) as anchor
    from delivered
    where action = 'removed'

),

of_suppressed as (

    select distinct anchors.change_id
    from anchors
    semi join suppressed
        on anchors.anchor = suppressed.identifier

),

-- Only what still is as that plan left it, and never somebody who must not be sent.
undoable as (

    select delivered.*
    from delivered
    left join known
        on
            delivered.sync_name = known.sync_name
            and delivered.segment = known.segment
            and delivered.key_type = known.key_type
            and delivered.match_key = known.match_key
    anti join of_suppressed
        on delivered.change_id = of_suppressed.change_id
    where
        not coalesce(known.is_in_doubt, false)
        and coalesce(known.is_confirmed, false) = (delivered.action = 'added')

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
