-- One row per sync and person in its cohort's newest snapshot: the key, or why there is none.
{{ config(
    materialized='incremental',
    incremental_strategy='supersede',
    unique_key='sync_name',
    meta={'part': 'keys'},
) }}

with

keys as (

    select * from {{ ref('identity__clevertap_keys') }}
    union all by name
    select * from {{ ref('identity__moengage_keys') }}
    union all by name
    select * from {{ ref('identity__lytics_keys') }}

),

persons as (

    select
        anchor_key,
        person_id,
        is_suppressed
    from {{ ref('identity__persons') }}
    where anchor_key in ({{ keys_of(ref('identity__members'), 'anchor_key') }})

),

-- The suppressed are resolved like everybody, and have no key anywhere.
decided as (

    select
        keys.sync_name,
        keys.destination,
        keys.cohort_id,
        keys.anchor_key,
        persons.person_id,
        if(persons.is_suppressed, 'suppressed', keys.status) as status,
        if(persons.is_suppressed, null, keys.detail) as detail,
        if(persons.is_suppressed, null, keys.key_type) as key_type,
        if(persons.is_suppressed, null, keys.key_value) as key_value,
        if(persons.is_suppressed, null, keys.match_key) as match_key,
        if(persons.is_suppressed, null, keys.matched_on) as matched_on,
        if(persons.is_suppressed, null, keys.effect) as effect
    from keys
    inner join persons
        on keys.anchor_key = persons.anchor_key
    where {{ has_keys_to_build() }}

),

-- Several persons may have one match key: it is one key, spelt as the smallest of theirs.
shared_keys as (

    select
        sync_name,
        key_type,
        match_key,
        min(key_value) as key_value,
        min(person_id) as first_person_id
    from decided
    where match_key is not null
    group by sync_name, key_type, match_key
    having count(*) > 1

)

select
    -- keys
    decided.sync_name,
    decided.destination,
    decided.cohort_id,
    decided.person_id,
    decided.anchor_key,

    -- the key
    decided.status,
    decided.detail,
    decided.key_type,
    coalesce(shared_keys.key_value, decided.key_value) as key_value,
    decided.match_key,
    decided.matched_on,
    decided.effect,
    -- Whether this row stands for the key where keys are counted.
    decided.match_key is not null
    and coalesce(decided.person_id = shared_keys.first_person_id, true) as is_first_of_key,
    -- Only of a key that is to be sent, in the row that stands for it.
    if(
        decided.status = 'ok' and is_first_of_key,
        {{ key_hash('decided.key_type', 'decided.match_key') }},
        null
    ) as key_hash
from decided
left join shared_keys
    on
        decided.sync_name = shared_keys.sync_name
        and decided.key_type = shared_keys.key_type
        and decided.match_key = shared_keys.match_key
