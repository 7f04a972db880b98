-- One row per sync and key that is to be in its segment: the keys of the newest snapshot's members.
with

syncs as (

    select * from {{ ref('cohorts__current_syncs') }}
    where no_snapshot_reason is null

),

keys as (

    select * from {{ ref('identity__keys') }}
    where status = 'ok'

),

persons as (

    select * from {{ ref('identity__persons') }}

)

select
    -- keys
    keys.sync_name,
    syncs.segment,
    keys.key_type,
    keys.match_key,

    -- Several persons may stand behind one key: it is one key, spelt as the smallest of theirs.
    min(keys.key_value) as key_value,
    list(keys.person_id order by keys.person_id) as person_ids,
    list(persons.anchor order by keys.person_id) as anchors
from keys
inner join syncs
    on keys.sync_name = syncs.sync_name
inner join persons
    on keys.person_id = persons.person_id
group by keys.sync_name, syncs.segment, keys.key_type, keys.match_key
