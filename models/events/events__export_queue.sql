-- One row per export and event that is still to be delivered; and one per export, with no event: its mark.
-- The mark says up to which load and which ledger line the export has seen everything. So a build looks
-- at what came after it, and at what waits here: never at the history again. What is delivered leaves.
{{ config(materialized='incremental', incremental_strategy='replace_all', on_schema_change='fail') }}

with

exports as (

    select * from {{ ref('events__exports') }}

),

export_events as (

    select * from {{ ref('events__export_events') }}
    where drop_reason is null

),

generation as (

    select generation from {{ source('raw', 'ledger_generation') }}

),

former as (

    {% if is_incremental() %}
    select * from {{ this }}
    {% else %}
    select
        exports.sync_name,
        exports.definition_hash,
        generation.generation,
        cast(null as varchar) as event_id,
        cast(0 as bigint) as load_id,
        cast(0 as bigint) as ledger_seq,
        cast(null as varchar) as outcome,
        cast(null as varchar) as outcome_plan_id,
        cast(null as varchar) as rejected_payload_hash,
        cast(null as timestamp) as first_attempted_at
    from exports
    cross join generation
    {% endif %}

),

-- Another definition, or a ledger that was lost in part: the export reads everything anew.
marks as (

    select
        exports.sync_name,
        exports.definition_hash,
        generation.generation,
        coalesce(former.load_id, 0) as load_id,
        coalesce(former.ledger_seq, 0) as ledger_seq,
        former.sync_name is not null as is_kept
    from exports
    cross join generation
    left join former
        on
            exports.sync_name = former.sync_name
            and exports.definition_hash = former.definition_hash
            and generation.generation = former.generation
            and former.event_id is null

),

waiting as (

    select
        former.sync_name,
        former.event_id,
        former.load_id,
        former.outcome,
        former.outcome_plan_id,
        former.rejected_payload_hash,
        former.first_attempted_at
    from former
    inner join marks
        on former.sync_name = marks.sync_name
    where former.event_id is not null and marks.is_kept

),

arrived as (

    select
        export_events.sync_name,
        export_events.event_id,
        min(export_events.load_id) as load_id
    from export_events
    inner join marks
        on
            export_events.sync_name = marks.sync_name
            and export_events.load_id > marks.load_id
    anti join waiting
        on
            export_events.sync_name = waiting.sync_name
            and export_events.event_id = waiting.event_id
    group by export_events.sync_name, export_events.event_id

),

plans_heard_of as (

    select distinct plan_id
    from {{ ref('stg_ledger__lines') }}
    where
        plan_id is not null
        and seq > (select coalesce(min(marks.ledger_seq), 0) from marks)

),

heard as (

    select
        row_outcomes.sync_name,
        row_outcomes.change_id as event_id,
        row_outcomes.plan_id,
        row_outcomes.planned_at,
        row_outcomes.outcome,
        row_outcomes.payload_hash,
        row_outcomes.attempted_at
    from {{ ref('ledger__row_outcomes') }} as row_outcomes
    semi join plans_heard_of
        on row_outcomes.plan_id = plans_heard_of.plan_id
    where row_outcomes.sync_kind = 'event_export'

),

summed as (

    select
        sync_name,
        event_id,
        bool_or(outcome = 'delivered') as is_delivered,
        min(attempted_at) as first_attempted_at,
        list(plan_id) as plan_ids,
        arg_max(
            {'outcome': outcome, 'plan_id': plan_id, 'payload_hash': payload_hash},
            (planned_at, plan_id)
        ) filter (where outcome in ('rejected', 'unknown')) as latest
    from heard
    group by sync_name, event_id

),

everything as (

    select * from waiting
    union all by name
    select * from arrived

),

-- What an earlier look left counts until its plan says something else; of two plans, the later.
told as (

    select
        everything.sync_name,
        everything.event_id,
        everything.load_id,
        case
            when former_stands.plan_id > coalesce(summed.latest.plan_id, '') then former_stands
            else summed.latest
        end as latest,
        least(everything.first_attempted_at, summed.first_attempted_at) as first_attempted_at
    from everything
    left join summed
        on
            everything.sync_name = summed.sync_name
            and everything.event_id = summed.event_id
    cross join lateral (
        select
            case
                when not coalesce(list_contains(summed.plan_ids, everything.outcome_plan_id), false)
                    then {
                        'outcome': everything.outcome,
                        'plan_id': everything.outcome_plan_id,
                        'payload_hash': everything.rejected_payload_hash
                    }
            end as former_stands
    ) as former_outcome
    where not coalesce(summed.is_delivered, false)

),

loads as (

    select max(load_id) as load_id from {{ ref('stg_moengage__events') }}
    union all
    select max(load_id) from {{ ref('stg_clevertap__events') }}

),

new_marks as (

    select
        marks.sync_name,
        greatest(
            marks.load_id,
            coalesce((select max(loads.load_id) from loads), 0)
        ) as load_id,
        greatest(
            marks.ledger_seq,
            coalesce((select max(lines.seq) from {{ ref('stg_ledger__lines') }} as lines), 0)
        ) as ledger_seq
    from marks

),

rows_and_marks as (

    select
        sync_name,
        event_id,
        load_id,
        cast(null as bigint) as ledger_seq,
        latest.outcome as outcome,
        latest.plan_id as outcome_plan_id,
        latest.payload_hash as rejected_payload_hash,
        first_attempted_at
    from told
    union all by name
    select * from new_marks

)

select
    -- keys
    rows_and_marks.sync_name,
    marks.definition_hash,
    marks.generation,
    rows_and_marks.event_id,

    -- how far, or where it was loaded
    rows_and_marks.load_id,
    rows_and_marks.ledger_seq,

    -- what came of it so far
    rows_and_marks.outcome,
    rows_and_marks.outcome_plan_id,
    rows_and_marks.rejected_payload_hash,
    rows_and_marks.first_attempted_at
from rows_and_marks
inner join marks
    on rows_and_marks.sync_name = marks.sync_name
