-- One row per Amplitude project: its stored events, and how many of them a client sent again.
{{ config(materialized='view') }}
with

events as (

    select * from {{ ref('stg_amplitude__events') }}

),

distinct_events as (

    select * from {{ ref('stg_amplitude__distinct_events') }}

),

stored as (

    select
        project,
        count(*) as stored_count
    from events
    group by project

),

kept as (

    select
        project,
        count(*) as distinct_count
    from distinct_events
    group by project

)

-- What an export gave twice (one uuid) is stored once: `relay load events` counts it as duplicate.
select
    stored.project,
    stored.stored_count,
    coalesce(kept.distinct_count, 0) as distinct_count,
    stored.stored_count - coalesce(kept.distinct_count, 0) as retry_count
from stored
left join kept
    on stored.project is not distinct from kept.project
