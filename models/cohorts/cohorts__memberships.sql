-- One row per cohort, person and unbroken time of membership (`lastComputed` of the snapshots).
{{ config(materialized='view') }}

with

members as (

    select * from {{ ref('stg_amplitude__cohort_members') }}

),

snapshots as (

    select * from {{ ref('stg_amplitude__cohort_snapshots') }}
    where is_newest

),

namespaces as (

    select * from {{ ref('stg_relay__namespaces') }}

),

identifiers as (

    select
        id_type,
        namespace,
        id_value,
        {{ person_id_of('anchor_key') }} as person_id
    from {{ ref('identity__identifiers') }}
    where anchor_key is not null

),

identified as (

    select
        members.*,
        coalesce(namespaces.namespace, 'default') as namespace
    from members
    inner join snapshots
        on members.cohort_id = snapshots.cohort_id
    left join namespaces
        on snapshots.app_id = namespaces.project

),

-- A row is of the person of its user id; without one, of its amplitude id.
of_persons as (

    select
        identified.cohort_id,
        coalesce(by_user.person_id, by_amplitude.person_id) as person_id,
        identified.entered_at,
        coalesce(identified.left_at, timestamp 'infinity') as left_at
    from identified
    left join identifiers as by_user
        on
            by_user.id_type = 'user_id'
            and identified.namespace = by_user.namespace
            and identified.user_id = by_user.id_value
    left join identifiers as by_amplitude
        on
            by_amplitude.id_type = 'amplitude_id'
            and identified.namespace = by_amplitude.namespace
            and cast(identified.amplitude_id as varchar) = by_amplitude.id_value
    where coalesce(by_user.person_id, by_amplitude.person_id) is not null

),

-- Rows of one person may overlap: a run begins where nothing before it reaches that far.
marked as (

    select
        *,
        coalesce(
            entered_at > max(left_at) over (
                partition by cohort_id, person_id
                order by entered_at, left_at
                rows between unbounded preceding and 1 preceding
            ),
            true
        ) as starts_run
    from of_persons

),

numbered as (

    select
        *,
        count(*) filter (where starts_run) over (
            partition by cohort_id, person_id
            order by entered_at, left_at
            rows between unbounded preceding and current row
        ) as run_number
    from marked

)

select
    cohort_id,
    person_id,
    min(entered_at) as valid_from,
    nullif(max(left_at), timestamp 'infinity') as valid_to
from numbered
group by cohort_id, person_id, run_number
