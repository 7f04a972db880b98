-- One row per identifier: the person it belongs to. Each is in exactly one person.
{{ config(materialized='view') }}

with

identifiers as (

    select * from {{ ref('identity__identifiers') }}
    where anchor_key is not null

),

sightings as not materialized (

    select * from {{ ref('identity__sightings_to_date') }}

),

seen as (

    select
        amplitude_key as identifier_key,
        first_seen_at,
        last_seen_at
    from sightings
    where amplitude_key is not null

    union all

    select
        user_key as identifier_key,
        first_seen_at,
        last_seen_at
    from sightings
    where user_key is not null

    union all

    select
        device_key as identifier_key,
        first_seen_at,
        last_seen_at
    from {{ ref('identity__devices') }}

),

dated as (

    select
        identifier_key,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at
    from seen
    group by identifier_key

)

select
    -- keys
    {{ person_id_of('identifiers.anchor_key') }} as person_id,
    identifiers.anchor_key,
    identifiers.identifier_key,
    {{ identifier_text('identifiers.id_type', 'identifiers.namespace', 'identifiers.id_value') }}
        as identifier,
    identifiers.id_type,
    identifiers.id_value,
    identifiers.namespace,

    -- times
    dated.first_seen_at,
    dated.last_seen_at
from identifiers
left join dated
    on identifiers.identifier_key = dated.identifier_key and identifiers.is_seen
