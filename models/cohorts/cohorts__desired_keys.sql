-- One row per sync and key that is to be in its segment: the keys of the newest snapshot's members.
{{ config(materialized='view') }}

with

syncs as (

    select * from {{ ref('cohorts__current_syncs') }}
    where no_snapshot_reason is null

),

-- Several persons may stand behind one key: it is one key, spelt as the smallest of theirs.
keys as (

    select * from {{ ref('identity__keys') }}
    where key_hash is not null

)

select
    keys.sync_name,
    syncs.segment,
    keys.key_type,
    keys.match_key,
    keys.key_value,
    keys.anchor_key,
    keys.person_id
from keys
inner join syncs
    on keys.sync_name = syncs.sync_name
