-- One row per sighting with the identifier whose rows they are: its user id, else its amplitude id, else its device.
{{ config(materialized='view') }}

with

sightings as (

    select * from {{ ref('identity__sightings') }}

),

contaminated as (

    select * from {{ ref('identity__contaminated_ids') }}

)

select sightings.*
from sightings
anti join contaminated
    on sightings.identifier_key = contaminated.amplitude_key

union all

-- Rows of a contaminated amplitude id fall back to their devices.
select
    sightings.* replace (
        sightings.device_key as identifier_key,
        cast(null as uuid) as amplitude_key
    )
from sightings
semi join contaminated
    on sightings.identifier_key = contaminated.amplitude_key
