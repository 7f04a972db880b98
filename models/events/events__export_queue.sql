-- One row per export and event that is still to be delivered; and one per export: its mark.
-- The mark (no event) says up to which load and ledger line the export has seen everything. So a
-- build looks at what came after it and what waits here, not at the history. Delivered rows leave.
{{
    config(
        materialized='incremental',
        incremental_strategy='replace_all',
        pre_hook="{{ remember_seen_load(this) }}"
    )
}}

with

exports as (

    select * from {{ ref('events__exports') }}

),

export_events as (

    select * from {{ ref('events__export_events') }}
    where drop_reason is null and load_id > coalesce(getvariable('seen_load'), 0)

),

row_outcomes as (

    select * from {{ ref('ledger__row_outcomes') }}
    where sync_kind = 'event_export'

),

ledger_lines as (

    select * from {{ ref('stg_ledger__lines') }}

),

generation as (

    select generation from {{ source('raw', 'ledger_generation') }}

),

former as (

    {% if is_incremental() %}
        select * from {{ this }}
    {% else %}
        select
            cast(null as varchar) as sync_name,
            cast(null as varchar) as definition_hash,
            cast(null as bigint) as generation,
            cast(null as varchar) as event_id,
            cast(null as bigint) as load_id,
            cast(null as bigint) as ledger_seq,
            cast(null as varchar) as outcome,
            cast(null as varchar) as outcome_plan_id,
            cast(null as varchar) as rejected_payload_hash,
            cast(null as timestamp) as first_attempted_at
        where false
    {% endif %}

),

-- Another definition, or a ledger that was lost in part: the export reads everything anew.
marks as (

    select
        exports.sync_name,
        exports.definition_hash,
        generation.generation,
        coalesce(former.load_id, 0) as load_id,
        coalesce(former.ledger_seq, 0) as ledger_seq
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

    select former.*
    from former
    inner join marks
        on
            former.sync_name = marks.sync_name
            and former.definition_hash = marks.definition_hash
            and former.generation = marks.generation
    where former.event_id is not null

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

everything as (

    select
        sync_name,
        event_id,
        load_id
    from waiting
    union all
    select
        sync_name,
        event_id,
        load_id
    from arrived

),

plans_heard_of as (

    select distinct ledger_lines.plan_id
    from ledger_lines
    inner join marks
        on ledger_lines.seq > marks.ledger_seq
    where ledger_lines.plan_id is not null

),

-- What an earlier look left holds until its plan says something else.
outcomes as (

    select
        row_outcomes.sync_name,
        row_outcomes.change_id as event_id,
        row_outcomes.plan_id,
        row_outcomes.outcome,
        row_outcomes.payload_hash,
        row_outcomes.attempted_at
    from row_outcomes
    semi join plans_heard_of
        on row_outcomes.plan_id = plans_heard_of.plan_id

    union all

    select
        waiting.sync_name,
        waiting.event_id,
        waiting.outcome_plan_id as plan_id,
        if(plans_heard_of.plan_id is null, waiting.outcome, null) as outcome,
        waiting.rejected_payload_hash as payload_hash,
        waiting.first_attempted_at as attempted_at
    from waiting
    left join plans_heard_of
        on waiting.outcome_plan_id = plans_heard_of.plan_id

),

-- Of several plans the last one counts; a plan's id begins with its time.
summed as (

    select
        sync_name,
        event_id,
        bool_or(coalesce(outcome = 'delivered', false)) as is_delivered,
        max(plan_id) filter (where outcome in ('rejected', 'unknown')) as outcome_plan_id,
        arg_max(outcome, plan_id) filter (where outcome in ('rejected', 'unknown')) as outcome,
        arg_max(payload_hash, plan_id) filter (where outcome in ('rejected', 'unknown'))
            as rejected_payload_hash,
        min(attempted_at) as first_attempted_at
    from outcomes
    group by sync_name, event_id

),

last_loads as (

    select max(load_id) as load_id from {{ ref('stg_moengage__events') }}
    union all
    select max(load_id) as load_id from {{ ref('stg_clevertap__events') }}

),

seen as (

    select
        (select coalesce(max(last_loads.load_id), 0) from last_loads) as load_id,
        (select coalesce(max(ledger_lines.seq), 0) from ledger_lines) as ledger_seq

),

rows_and_marks as (

    select
        everything.sync_name,
        everything.event_id,
        everything.load_id,
        cast(null as bigint) as ledger_seq,
        summed.outcome,
        summed.outcome_plan_id,
        summed.rejected_payload_hash,
        summed.first_attempted_at
    from everything
    left join summed
        on
            everything.sync_name = summed.sync_name
            and everything.event_id = summed.event_id
    where not coalesce(summed.is_delivered, false)

    union all by name

    select
        marks.sync_name,
        greatest(marks.load_id, seen.load_id) as load_id,
        greatest(marks.ledger_seq, seen.ledger_seq) as ledger_seq
    from marks
    cross join seen

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
