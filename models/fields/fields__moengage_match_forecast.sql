-- One row per MoEngage sync: how many of the cohort's people MoEngage will find; it never says so.
{{ config(materialized='view') }}

with

keys as (

    select * from {{ ref('identity__keys') }}
    where destination = 'moengage'

),

directory as (

    select
        count(*) as users_count,
        max(loaded_at) as loaded_at
    from {{ ref('stg_directories__known_users') }}
    where destination = 'moengage'

)

select
    -- keys
    keys.sync_name,
    keys.cohort_id,

    -- the people of the newest snapshot
    count(*) as persons_count,
    count(*) filter (where keys.status = 'ok' and keys.matched_on != 'unverified') as matched_count,
    count(*) filter (where keys.status = 'ok' and keys.matched_on = 'unverified') as unknown_count,
    count(*) filter (where keys.status = 'unmatched') as unmatched_count,
    count(*) filter (where keys.status in ('no_key', 'invalid_key')) as unaddressable_count,
    count(*) filter (where keys.status = 'suppressed') as suppressed_count,

    -- as MoEngage counts
    count(distinct keys.match_key) filter (where keys.key_type = 'user_id')
        as forecast_members_count,
    any_value(directory.users_count) as directory_users_count,
    any_value(directory.loaded_at) as directory_loaded_at
from keys
cross join directory
group by keys.sync_name, keys.cohort_id
