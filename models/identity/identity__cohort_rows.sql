-- One row per cohort and identifiers of its files: in how many snapshots they stood together, from when to when.
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

numbered as (

    select
        members.cohort_id,
        coalesce(namespaces.namespace, 'default') as namespace,
        members.amplitude_id,
        members.user_id,
        entered.snapshot_number as first_number,
        coalesce(gone.snapshot_number - 1, newest.snapshot_number) as last_number
    from members
    inner join snapshots as entered
        on
            members.cohort_id = entered.cohort_id
            and members.entered_at = entered.last_computed_at
    inner join snapshots as newest
        on
            members.cohort_id = newest.cohort_id
            and newest.is_newest
    left join snapshots as gone
        on
            members.cohort_id = gone.cohort_id
            and members.left_at = gone.last_computed_at
    left join namespaces
        on newest.app_id = namespaces.project

),

-- Two spellings that are cleaned to one may overlap: a snapshot counts once.
overlapping as (

    select
        *,
        max(last_number) over (
            partition by cohort_id, amplitude_id, user_id
            order by first_number, last_number
            rows between unbounded preceding and 1 preceding
        ) as reached_number
    from numbered

),

summed as (

    select
        cohort_id,
        namespace,
        amplitude_id,
        user_id,
        sum(greatest(last_number - greatest(first_number - 1, coalesce(reached_number, 0)), 0))
            as row_count,
        min(first_number) as first_number,
        max(last_number) as last_number
    from overlapping
    group by cohort_id, namespace, amplitude_id, user_id

)

select
    summed.cohort_id,
    summed.namespace,
    summed.amplitude_id,
    summed.user_id,
    summed.row_count,
    firsts.last_computed_at as first_seen_at,
    lasts.last_computed_at as last_seen_at,
    'cohort ' || summed.cohort_id || ' of '
    || strftime(firsts.last_computed_at, '%Y-%m-%dT%H:%M:%SZ') as first_row,
    lasts.load_id
from summed
inner join snapshots as firsts
    on
        summed.cohort_id = firsts.cohort_id
        and summed.first_number = firsts.snapshot_number
inner join snapshots as lasts
    on
        summed.cohort_id = lasts.cohort_id
        and summed.last_number = lasts.snapshot_number
