-- One row per sealed plan and sync with rows: how many of them its lines settle, and how.
-- Counted when a plan is heard of, so that who asks for the past need not read all rows of it.
{{
    config(
        materialized='incremental',
        incremental_strategy='supersede',
        unique_key=['plan_id', 'sync_name'],
        pre_hook="{{ forget_other_generations(this) }}"
    )
}}

with

outcomes as (

    select
        *,
        outcomes as told
    from {{ ref('ledger__request_outcomes') }} as outcomes  -- noqa: AL05

),

heard as (

    select
        plan_id,
        sync_name,
        max(last_seq) as last_seq
    from outcomes
    group by plan_id, sync_name

),

-- Those that are new here, and those the ledger told of since.
plans as (

    select
        plan_syncs.plan_id,
        plan_syncs.sync_name,
        coalesce(heard.last_seq, 0) as last_seq
    from {{ ref('stg_ledger__plan_syncs') }} as plan_syncs
    left join heard
        on plan_syncs.plan_id = heard.plan_id and plan_syncs.sync_name = heard.sync_name
    {% if is_incremental() %}
        anti join {{ this }} as done
            on
                plan_syncs.plan_id = done.plan_id
                and plan_syncs.sync_name = done.sync_name
                and coalesce(heard.last_seq, 0) = done.last_seq
    {% endif %}
    where plan_syncs.has_rows

),

-- Narrowed to those plans before anything is joined: a long history is passed over.
plan_rows as (

    select
        plan_rows.plan_id,
        plan_rows.sync_name,
        plan_rows.request,
        plan_rows.row_position
    from {{ ref('stg_ledger__plan_rows') }} as plan_rows
    semi join plans
        on plan_rows.plan_id = plans.plan_id and plan_rows.sync_name = plans.sync_name

),

told_rows as (

    select
        plan_rows.plan_id,
        plan_rows.sync_name,
        coalesce(positions.told, requests.told, whole_syncs.told) as told
    from plan_rows
    {{ join_what_was_told('plan_rows') }}

),

counted as (

    select
        plan_id,
        sync_name,
        count(*) as rows_count,
        count(*) filter (where told.outcome = 'delivered') as delivered_count,
        count(*) filter (where told.outcome = 'rejected') as rejected_count,
        count(*) filter (where told.outcome = 'unknown') as unknown_count,
        count(*) filter (where coalesce(told.outcome, 'pending') = 'pending') as open_count,
        max(told.settled_at) filter (where told.outcome = 'delivered') as confirmed_at
    from told_rows
    group by plan_id, sync_name

),

generation as (

    select generation from {{ source('raw', 'ledger_generation') }}

)

select
    -- keys
    plans.plan_id,
    plans.sync_name,

    -- how many
    coalesce(counted.rows_count, 0) as rows_count,
    coalesce(counted.delivered_count, 0) as delivered_count,
    coalesce(counted.rejected_count, 0) as rejected_count,
    coalesce(counted.unknown_count, 0) as unknown_count,
    coalesce(counted.open_count, 0) as open_count,

    -- times
    counted.confirmed_at,

    -- lineage
    plans.last_seq,
    generation.generation
from plans
left join counted
    on plans.plan_id = counted.plan_id and plans.sync_name = counted.sync_name
cross join generation
