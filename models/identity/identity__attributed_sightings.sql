-- One row per sighting and whose rows they are: its user id's, else amplitude id's, else device's.
{{ config(materialized='view') }}

-- Named in both places: a CTE that is read twice would be kept, and hide the tables from filters.
select sightings.*
from {{ ref('identity__sightings') }} as sightings
anti join {{ ref('identity__contaminated_ids') }} as contaminated
    on sightings.identifier_key = contaminated.amplitude_key

union all

-- Rows of a contaminated amplitude id fall back to their devices.
select
    sightings.* replace (
        sightings.device_key as identifier_key,
        cast(null as uuid) as amplitude_key
    )
from {{ ref('identity__sightings') }} as sightings
semi join {{ ref('identity__contaminated_ids') }} as contaminated
    on sightings.identifier_key = contaminated.amplitude_key
