-- One row per amplitude id that strangers share because a junk user id was sent for them (ID-5).
with

sightings as not materialized (

    select * from {{ ref('identity__sightings') }}

),

suspects as (

    select distinct amplitude_key
    from sightings
    where is_user_junk and amplitude_key is not null

)

select
    -- keys
    sightings.amplitude_key,
    sightings.namespace,
    sightings.amplitude_id,

    -- attributes
    count(distinct sightings.device_key) as devices_count,
    min(sightings.user_id) filter (where sightings.is_user_junk) as junk_user_id
from sightings
semi join suspects
    on sightings.amplitude_key = suspects.amplitude_key
group by sightings.amplitude_key, sightings.namespace, sightings.amplitude_id
having count(sightings.user_key) = 0 and count(distinct sightings.device_key) > 1
