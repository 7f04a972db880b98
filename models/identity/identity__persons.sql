-- One row per person: who that is, what they consist of, in how many rows and when they were seen.
{{ config(materialized='view') }}

with

persons as (

    select * from {{ ref('identity__resolved_persons') }}

),

identifiers as (

    select
        identifier_key,
        anchor_key
    from {{ ref('identity__identifiers') }}

),

sightings as (

    select * from {{ ref('identity__sightings_to_date') }}

),

seen as (

    select
        identifiers.anchor_key,
        sum(sightings.row_count) as rows_count,
        min(sightings.first_seen_at) as first_seen_at,
        max(sightings.last_seen_at) as last_seen_at
    from sightings
    inner join identifiers
        on sightings.identifier_key = identifiers.identifier_key
    group by identifiers.anchor_key

)

select
    -- keys
    persons.person_id,
    persons.anchor_key,
    persons.anchor,
    persons.anchor_id_type,
    persons.namespace,
    persons.anchor_id_value,
    persons.primary_user_id,
    persons.canonical_amplitude_id,

    -- attributes
    persons.amplitude_ids_count,
    persons.user_ids_count,
    persons.devices_count,
    cast(coalesce(seen.rows_count, 0) as bigint) as rows_count,
    persons.flags,
    persons.is_suppressed,

    -- times
    seen.first_seen_at,
    seen.last_seen_at
from persons
left join seen
    on persons.anchor_key = seen.anchor_key
