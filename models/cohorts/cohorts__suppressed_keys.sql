-- One row per key that a destination may hold of a suppressed person: no list is to have it.
{{ config(materialized='view') }}

with

suppressed as (

    {{ suppressed_identifiers() }}

),

-- Persons are found by their anchors: their ids may have changed since.
known as (

    select
        sync_name,
        cohort_name,
        key_type,
        match_key,
        unnest(anchors) as anchor
    from {{ ref('ledger__confirmed_keys') }}

)

select distinct
    known.sync_name,
    known.cohort_name,
    known.key_type,
    known.match_key
from known
semi join suppressed
    on known.anchor = suppressed.identifier
