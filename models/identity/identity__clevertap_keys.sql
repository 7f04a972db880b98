-- One row per CleverTap sync and member: identity or CleverTap ID, or why there is none (ID-18).
{{ config(materialized='view') }}

{% set object_id = '[A-Za-z0-9()!:@$_=|<>;+.-]{1,64}' -%}

with

syncs as (

    select * from {{ ref('stg_relay__syncs') }}
    where kind = 'cohort_sync' and destination = 'clevertap'

),

members as (

    select * from {{ ref('identity__members_to_key') }}

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

-- Values that CleverTap would refuse are skipped, and what is withheld is not offered.
chosen as (

    select
        offered.sync_name,
        offered.anchor_key,
        count(*) filter (where offered.value_kind = 'user') as user_values_count,
        count(*) filter (where offered.value_kind = 'anonymous' and offered.withheld is null)
            as anonymous_values_count,
        arg_min(offered.offered_value, offered.place) filter (
            where
            offered.value_kind = 'user'
            and strlen(offered.offered_value) <= settings.clevertap_max_identity_bytes
        ) as identity_value,
        arg_min(offered.offered_value, offered.place) filter (
            where
            offered.value_kind = 'anonymous'
            and offered.withheld is null
            and regexp_full_match(offered.offered_value, '{{ object_id }}')
        ) as object_value,
        arg_min(offered.withheld, offered.place) as withheld
    from offered
    cross join settings
    group by offered.sync_name, offered.anchor_key

),

decided as (

    select
        syncs.sync_name,
        syncs.destination,
        syncs.cohort_id,
        members.anchor_key,
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
        on syncs.sync_name = chosen.sync_name and members.anchor_key = chosen.anchor_key

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

-- The directory's identities and CleverTap IDs, in the form in which keys are compared.
listed as (

    select
        'identity' as key_type,
        user_key as key_value
    from directory

    union all

    select
        'object_id' as key_type,
        anonymous_key as key_value
    from directory

),

known as (

    select distinct
        listed.key_type,
        if(
            settings.clevertap_match_case = 'exact',
            listed.key_value,
            {{ fold_text('listed.key_value') }}
        ) as match_key
    from listed
    cross join settings
    where listed.key_value is not null

),

extent as (

    select count(*) as rows_count
    from directory

)

select
    matched.*,
    cast(null as varchar) as matched_on,
    case
        when matched.status != 'ok' or extent.rows_count = 0 then null
        when known.match_key is not null then 'existing_profile'
        else 'creates_profile'
    end as effect
from matched
cross join extent
left join known
    on matched.key_type = known.key_type and matched.match_key = known.match_key
