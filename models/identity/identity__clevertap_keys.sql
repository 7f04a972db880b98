-- One row per CleverTap sync and member: the identity or CleverTap ID it is known by, or why there
-- is none (ID-18).
{{ config(materialized='view') }}

with

syncs as (

    select * from {{ ref('stg_relay__syncs') }}
    where kind = 'cohort_sync' and destination = 'clevertap'

),

members as (

    select * from {{ ref('identity__members') }}

),

offered as (

    select * from {{ ref('identity__offered_values') }}

),

settings as (

    select * from {{ ref('stg_relay__settings') }}

),

directory as (

    select * from {{ ref('stg_directories__known_users') }}
    where destination = 'clevertap'

),

{% set object_id = '[A-Za-z0-9()!:@$_=|<>;+.-]{1,64}' -%}

chosen as (

    select
        offered.sync_name,
        offered.person_id,
        count(*) filter (where offered.kind = 'user') as user_values_count,
        count(*) filter (where offered.kind = 'anonymous' and offered.withheld is null)
            as anonymous_values_count,
        arg_min(offered.offered_value, offered.place) filter (
            where
            offered.kind = 'user'
            and strlen(offered.offered_value) <= settings.clevertap_max_identity_bytes
        ) as identity_value,
        arg_min(offered.offered_value, offered.place) filter (
            where
            offered.kind = 'anonymous'
            and offered.withheld is null
            and regexp_full_match(offered.offered_value, '{{ object_id }}')
        ) as object_value,
        arg_min(offered.withheld, offered.place) filter (where offered.kind = 'anonymous')
            as withheld
    from offered
    cross join settings
    group by offered.sync_name, offered.person_id

),

decided as (

    select
        syncs.sync_name,
        syncs.destination,
        syncs.cohort_id,
        members.person_id,
        coalesce(chosen.identity_value, chosen.object_value) as key_value,
        case
            when chosen.identity_value is not null then 'identity'
            when chosen.object_value is not null then 'object_id'
        end as key_type,
        case
            when coalesce(chosen.identity_value, chosen.object_value) is not null then 'ok'
            when chosen.user_values_count > 0 or chosen.anonymous_values_count > 0
                then 'invalid_key'
            else 'no_key'
        end as status,
        case
            when coalesce(chosen.identity_value, chosen.object_value) is not null then null
            when chosen.user_values_count > 0 then 'identity_too_long'
            when chosen.anonymous_values_count > 0 then 'bad_object_id'
            else coalesce(chosen.withheld, 'no_identifier')
        end as detail
    from syncs
    inner join members
        on syncs.cohort_id = members.cohort_id
    left join chosen
        on syncs.sync_name = chosen.sync_name and members.person_id = chosen.person_id

),

matched as (

    select
        decided.*,
        if(
            settings.clevertap_match_case = 'exact',
            decided.key_value,
            {{ fold_text('decided.key_value') }}
        ) as match_key
    from decided
    cross join settings

),

-- The directory in the form in which keys are compared.
known as (

    select
        'identity' as key_type,
        if(settings.clevertap_match_case = 'exact', user_key, {{ fold_text('user_key') }})
            as match_key
    from directory
    cross join settings
    where user_key is not null

    union distinct

    select
        'object_id' as key_type,
        if(
            settings.clevertap_match_case = 'exact',
            anonymous_key,
            {{ fold_text('anonymous_key') }}
        ) as match_key
    from directory
    cross join settings
    where anonymous_key is not null

)

select
    matched.*,
    cast(null as varchar) as matched_on,
    case
        when matched.status != 'ok' or not exists (select 1 from known) then null
        when known.match_key is not null then 'existing_profile'
        else 'creates_profile'
    end as effect
from matched
left join known
    on matched.key_type = known.key_type and matched.match_key = known.match_key
