-- One row: how far the last complete build had come, and under which rules. Written last.
with

scope as (

    select * from {{ ref('identity__scope') }}

),

sightings as (

    select load_id from {{ ref('identity__sightings') }}

),

events as (

    select load_id from {{ ref('stg_amplitude__events') }}

),

merge_rows as (

    select load_id from {{ ref('stg_amplitude__merges') }}

),

members as (

    select cohort_id from {{ ref('stg_amplitude__cohort_members') }}

),

snapshots as (

    select load_id from {{ ref('stg_amplitude__cohort_snapshots') }}

),

taken_up as (

    select greatest(
        (select coalesce(max(load_id), 0) from sightings),
        (select coalesce(max(load_id), 0) from merge_rows),
        (select coalesce(max(load_id), 0) from snapshots)
    ) as load_id

)

-- What must be complete before: {{ ref('identity__keys') }}, {{ ref('identity__person_log') }},
-- {{ ref('identity__suppressed') }}, {{ ref('identity__property_values') }}.
select
    scope.build_number,
    scope.evidence_rules,
    scope.links_rules,
    scope.persons_rules,
    scope.properties_rules,
    scope.keys_rules,
    taken_up.load_id,
    (
        select count(*) from events
        where events.load_id <= (select newest.load_id from taken_up as newest)
    ) as events_count,
    (
        select count(*) from merge_rows
        where merge_rows.load_id <= (select newest.load_id from taken_up as newest)
    ) as merges_count,
    (
        select count(*) from members
    ) as members_count
from scope
cross join taken_up
