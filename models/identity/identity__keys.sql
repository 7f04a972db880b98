-- One row per sync and person in its cohort's newest snapshot: the key, or why there is none.
{{ config(
    materialized='incremental',
    incremental_strategy='supersede',
    unique_key=['sync_name', 'anchor_key'],
    meta={'part': 'keys', 'region': 'identity__touched_persons', 'region_key': 'anchor_key'},
) }}
{% set anew = resolves_anew('keys') -%}

with

scope as (

    select build_number from {{ ref('identity__scope') }}

),

touched_persons as (

    select * from {{ ref('identity__touched_persons') }}

),

replaced_keys as (

    select * from {{ ref('identity__replaced_keys') }}

),

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
    from {{ ref('identity__resolved_persons') }}
    where anchor_key in ({{ keys_of(ref('identity__members_to_key'), 'anchor_key') }})

),

-- The suppressed are resolved like everybody, and have no key anywhere.
made as (

    select
        keys.sync_name,
        keys.destination,
        keys.cohort_id,
        persons.person_id,
        keys.anchor_key,
        if(persons.is_suppressed, 'suppressed', keys.status) as status,
        if(persons.is_suppressed, null, keys.detail) as detail,
        if(persons.is_suppressed, null, keys.key_type) as key_type,
        if(persons.is_suppressed, null, keys.key_value) as own_key_value,
        if(persons.is_suppressed, null, keys.match_key) as match_key,
        if(persons.is_suppressed, null, keys.matched_on) as matched_on,
        if(persons.is_suppressed, null, keys.effect) as effect
    from keys
    inner join persons
        on keys.anchor_key = persons.anchor_key

),

{% if not anew -%}
    -- Keys that the touched have now or had before: who shares one of them may be spelt otherwise.
    keys_of_touched as (

        select
            sync_name,
            key_type,
            match_key
        from made
        where match_key is not null

        union

        select
            sync_name,
            key_type,
            match_key
        from replaced_keys

    ),

    known as (

        select * from {{ this }}
        where match_key in ({{ keys_of('keys_of_touched', 'match_key') }})

    ),

    sharing as (

        select
            known.sync_name,
            known.destination,
            known.cohort_id,
            known.person_id,
            known.anchor_key,
            known.status,
            known.detail,
            known.key_type,
            coalesce(known.own_key_value, known.key_value) as own_key_value,
            known.match_key,
            known.matched_on,
            known.effect
        from known
        semi join keys_of_touched
            on
                known.sync_name = keys_of_touched.sync_name
                and known.key_type = keys_of_touched.key_type
                and known.match_key = keys_of_touched.match_key
        anti join touched_persons
            on known.anchor_key = touched_persons.anchor_key

    ),

{% endif -%}
decided as (

    select * from made
    {% if not anew %}
        union all by name
        select * from sharing
    {% endif %}

),

-- Several persons may have one match key: it is one key, spelt as the smallest of theirs.
shared_keys as (

    select
        sync_name,
        key_type,
        match_key,
        min(own_key_value) as key_value,
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
    coalesce(shared_keys.key_value, decided.own_key_value) as key_value,
    -- Their own spelling, where another one is sent.
    if(
        decided.own_key_value != shared_keys.key_value, decided.own_key_value, null
    ) as own_key_value,
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
    ) as key_hash,

    -- lineage
    scope.build_number
from decided
left join scope
    on true
left join shared_keys
    on
        decided.sync_name = shared_keys.sync_name
        and decided.key_type = shared_keys.key_type
        and decided.match_key = shared_keys.match_key
