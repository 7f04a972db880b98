-- One row per Lytics sync and member: the unique id its rows carry, or why there is none (ID-20).
{{ config(materialized='view') }}

with

syncs as (

    select * from {{ ref('stg_relay__syncs') }}
    where kind = 'cohort_sync' and destination = 'lytics'

),

members as (

    select * from {{ ref('identity__members_to_key') }}

),

persons as (

    select * from {{ ref('identity__resolved_persons') }}

),

settings as (

    select * from {{ ref('stg_relay__settings') }}

),

chosen as (

    select
        syncs.sync_name,
        syncs.destination,
        syncs.cohort_id,
        members.anchor_key,
        coalesce(persons.canonical_amplitude_id, persons.primary_user_id) as unique_id,
        if(persons.canonical_amplitude_id is null, 'amplitude_user_id', 'amplitude_id')
            as unique_id_type
    from syncs
    inner join members
        on syncs.cohort_id = members.cohort_id
    inner join persons
        on members.anchor_key = persons.anchor_key

),

decided as (

    select
        chosen.*,
        case
            when chosen.unique_id is null then 'no_key'
            when strlen(chosen.unique_id) > settings.lytics_max_identifier_bytes
                then 'invalid_key'
            else 'ok'
        end as status
    from chosen
    cross join settings

)

select
    sync_name,
    destination,
    cohort_id,
    anchor_key,
    if(status = 'ok', unique_id, null) as key_value,
    if(status = 'ok', unique_id_type, null) as key_type,
    status,
    case status
        when 'no_key' then 'no_identifier'
        when 'invalid_key' then 'identifier_too_long'
    end as detail,
    if(status = 'ok', unique_id, null) as match_key,
    cast(null as varchar) as matched_on,
    cast(null as varchar) as effect
from decided
