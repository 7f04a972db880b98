-- One row per cohort and person in its newest snapshot.
{{ config(
    materialized='incremental',
    incremental_strategy='supersede',
    unique_key='cohort_id',
    meta={'part': 'keys'},
) }}

with

members as (

    select * from {{ ref('stg_amplitude__cohort_members') }}
    where left_at is null

),

snapshots as (

    select * from {{ ref('stg_amplitude__cohort_snapshots') }}
    where is_newest

),

namespaces as (

    select * from {{ ref('stg_relay__namespaces') }}

),

rows_of_cohorts as (

    select
        members.cohort_id,
        members.amplitude_id,
        members.user_id,
        members.row_count,
        coalesce(namespaces.namespace, 'default') as namespace
    from members
    inner join snapshots
        on members.cohort_id = snapshots.cohort_id
    left join namespaces
        on snapshots.app_id = namespaces.project
    where {{ has_keys_to_build() }}

),

keyed as (

    select
        cohort_id,
        row_count,
        {{ identifier_key("'user_id'", 'namespace', 'user_id') }} as user_key,
        {{ identifier_key("'amplitude_id'", 'namespace', 'amplitude_id') }} as amplitude_key
    from rows_of_cohorts

),

identifiers as (

    select
        identifier_key,
        anchor_key
    from {{ ref('identity__identifiers') }}
    where
        anchor_key is not null
        and identifier_key in (
            {{ keys_of('keyed', 'user_key') }}
            union all
            {{ keys_of('keyed', 'amplitude_key') }}
        )

),

-- A row is of the person of its user id; without one that names somebody, of its amplitude id.
named as (

    select
        keyed.cohort_id,
        keyed.row_count,
        coalesce(by_user.anchor_key, by_amplitude.anchor_key) as anchor_key
    from keyed
    left join identifiers as by_user
        on keyed.user_key = by_user.identifier_key
    left join identifiers as by_amplitude
        on keyed.amplitude_key = by_amplitude.identifier_key

)

select
    -- keys
    cohort_id,
    anchor_key,

    -- attributes
    cast(sum(row_count) as bigint) as rows_count
from named
where anchor_key is not null
group by cohort_id, anchor_key
