-- One row per cohort and person in its newest snapshot.
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

identifiers as not materialized (

    select * from {{ ref('identity__identifiers') }}
    where anchor_key is not null

),

keyed as (

    select
        members.cohort_id,
        members.row_count,
        {{ identifier_key(
            "'user_id'", "coalesce(namespaces.namespace, 'default')", 'members.user_id'
        ) }} as user_key,
        {{ identifier_key(
            "'amplitude_id'", "coalesce(namespaces.namespace, 'default')", 'members.amplitude_id'
        ) }} as amplitude_key
    from members
    inner join snapshots
        on members.cohort_id = snapshots.cohort_id
    left join namespaces
        on snapshots.app_id = namespaces.project

)

select
    keyed.cohort_id,
    coalesce(by_user.anchor_key, by_amplitude.anchor_key) as anchor_key,
    {{ person_id_of('coalesce(by_user.anchor_key, by_amplitude.anchor_key)') }} as person_id,
    cast(sum(keyed.row_count) as bigint) as rows_count
from keyed
left join identifiers as by_user
    on keyed.user_key = by_user.identifier_key
left join identifiers as by_amplitude
    on keyed.amplitude_key = by_amplitude.identifier_key
where coalesce(by_user.anchor_key, by_amplitude.anchor_key) is not null
group by all
