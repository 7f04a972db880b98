-- One row per placeholder found where an identifier belongs, as it was spelt: how often (ID-4).
{{ config(materialized='view') }}

with

found as (

    select
        'amplitude_id' as id_type,
        cast(amplitude_id as varchar) as id_value,
        namespace,
        row_count,
        first_seen_at,
        last_seen_at
    from {{ ref('identity__sightings_to_date') }}
    where is_amplitude_junk

    union all

    select
        'user_id' as id_type,
        user_id as id_value,
        namespace,
        row_count,
        first_seen_at,
        last_seen_at
    from {{ ref('identity__sightings_to_date') }}
    where is_user_junk

    union all

    select
        'device_id' as id_type,
        device_id as id_value,
        namespace,
        row_count,
        first_seen_at,
        last_seen_at
    from {{ ref('identity__sightings_to_date') }}
    where is_device_junk

)

select
    -- keys
    namespace,
    id_type,
    id_value,

    -- attributes
    cast(sum(row_count) as bigint) as rows_count,

    -- times
    min(first_seen_at) as first_seen_at,
    max(last_seen_at) as last_seen_at
from found
group by namespace, id_type, id_value
