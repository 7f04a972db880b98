-- One row per cohort, row of its files and run of snapshots with it, numbered and dated by them.
{{ config(materialized='view') }}

with

members as (

    select * from {{ ref('stg_amplitude__cohort_members') }}

),

snapshots as (

    select * from {{ ref('stg_amplitude__cohort_snapshots') }}

),

namespaces as (

    select * from {{ ref('stg_relay__namespaces') }}

),

cohorts as (

    select
        cohort_id,
        max(snapshot_number) as newest_number,
        max(load_id) as cohort_load_id,
        max(app_id) filter (where is_newest) as project
    from snapshots
    group by cohort_id

),

numbered as (

    select
        members.cohort_id,
        coalesce(namespaces.namespace, 'default') as namespace,
        members.amplitude_id,
        members.user_id,
        members.properties,
        entered.snapshot_number as first_number,
        coalesce(gone.snapshot_number - 1, cohorts.newest_number) as last_number,
        cohorts.cohort_load_id
    from members
    inner join cohorts
        on members.cohort_id = cohorts.cohort_id
    inner join snapshots as entered
        on
            members.cohort_id = entered.cohort_id
            and members.entered_at = entered.last_computed_at
    left join snapshots as gone
        on
            members.cohort_id = gone.cohort_id
            and members.left_at = gone.last_computed_at
    left join namespaces
        on cohorts.project = namespaces.project

)

select
    numbered.*,
    firsts.last_computed_at as first_seen_at,
    lasts.last_computed_at as last_seen_at
from numbered
inner join snapshots as firsts
    on
        numbered.cohort_id = firsts.cohort_id
        and numbered.first_number = firsts.snapshot_number
inner join snapshots as lasts
    on
        numbered.cohort_id = lasts.cohort_id
        and numbered.last_number = lasts.snapshot_number
