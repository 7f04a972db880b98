-- One row per MoEngage sync and member: the MoEngage user it is, or why it is none (ID-19).
{{ config(materialized='view') }}

with

syncs as (

    select * from {{ ref('stg_relay__syncs') }}
    where kind = 'cohort_sync' and destination = 'moengage'

),

members as (

    select * from {{ ref('identity__members_to_key') }}

),

settings as (

    select * from {{ ref('stg_relay__settings') }}

),

blocked as (

    select * from {{ ref('moengage_blocked_ids') }}

),

directory as (

    select * from {{ ref('stg_directories__known_users') }}
    where destination = 'moengage'

),

offered as (

    select offered_values.*
    from {{ ref('identity__offered_values') }} as offered_values
    semi join syncs
        on offered_values.sync_name = syncs.sync_name

),

extent as (

    select count(*) > 0 as is_loaded
    from directory

),

known_users as (

    select distinct user_key
    from directory
    where user_key is not null

),

user_values as (

    select
        offered.sync_name,
        offered.anchor_key,
        count(*) as values_count,
        count(*) filter (
            where length(offered.offered_value) > 1 and blocked.blocked_value is null
        ) as sendable_count,
        -- Without a directory, the first one.
        arg_min(offered.offered_value, offered.place) filter (
            where
            length(offered.offered_value) > 1
            and blocked.blocked_value is null
            and (known_users.user_key is not null or not extent.is_loaded)
        ) as key_value
    from offered
    cross join extent
    left join blocked
        on {{ fold_text('offered.offered_value') }} = blocked.blocked_value
    left join known_users
        on offered.offered_value = known_users.user_key
    where offered.value_kind = 'user'
    group by offered.sync_name, offered.anchor_key

),

anonymous_users as (

    select
        anonymous_key,
        count(distinct user_key) as users_count,
        min(user_key) as user_key
    from directory
    where anonymous_key is not null
    group by anonymous_key

),

-- What the directory says of each anonymous value; without one, every value is nobody's.
answers as (

    select
        offered.sync_name,
        offered.anchor_key,
        offered.place,
        offered.offered_value,
        offered.withheld,
        anonymous_users.user_key,
        case
            when offered.withheld is not null then null
            when not extent.is_loaded
                then if(user_values.values_count is null, 'anonymous_only', null)
            when anonymous_users.users_count > 1 then 'ambiguous'
            when anonymous_users.users_count = 1
                then if(user_values.values_count is null, 'known', 'conflict')
            when anonymous_users.users_count = 0 then 'anonymous_only'
            else 'unknown'
        end as answer
    from offered
    cross join extent
    left join user_values
        on
            offered.sync_name = user_values.sync_name
            and offered.anchor_key = user_values.anchor_key
    left join anonymous_users
        on offered.offered_value = anonymous_users.anonymous_key
    where offered.value_kind = 'anonymous'

),

anonymous_values as (

    select
        answers.sync_name,
        answers.anchor_key,
        count(answers.answer) as values_count,
        arg_min(
            {
                'key_type': if(answers.answer = 'known', 'user_id', 'moe_anonymous_id'),
                'key_value': if(answers.answer = 'known', answers.user_key, answers.offered_value)
            },
            answers.place
        ) filter (
            where
            answers.answer = 'known'
            or (answers.answer = 'anonymous_only' and settings.moengage_anonymous_keys = 'send')
        ) as found,
        bool_or(answers.answer = 'conflict') as has_conflict,
        bool_or(answers.answer = 'ambiguous') as is_ambiguous,
        bool_or(answers.answer = 'anonymous_only') as is_anonymous_only,
        arg_min(answers.withheld, answers.place) as withheld
    from answers
    cross join settings
    group by answers.sync_name, answers.anchor_key

),

joined as (

    select
        syncs.sync_name,
        syncs.destination,
        syncs.cohort_id,
        members.anchor_key,
        coalesce(user_values.key_value, anonymous_values.found['key_value']) as key_value,
        if(
            user_values.key_value is not null,
            'user_id',
            anonymous_values.found['key_type']
        ) as key_type,
        case
            when not extent.is_loaded then 'unverified'
            when user_values.key_value is not null then 'user_id'
            else 'moe_anonymous_id'
        end as matched_on,
        case
            when anonymous_values.has_conflict then 'conflict'
            when anonymous_values.is_ambiguous then 'ambiguous'
            when anonymous_values.is_anonymous_only then 'anonymous_only'
            when user_values.values_count > 0 and user_values.sendable_count = 0
                then 'banned_id'
            when user_values.values_count > 0 or anonymous_values.values_count > 0
                then 'unknown_user'
            else coalesce(anonymous_values.withheld, 'no_identifier')
        end as detail
    from syncs
    cross join extent
    inner join members
        on syncs.cohort_id = members.cohort_id
    left join user_values
        on
            syncs.sync_name = user_values.sync_name
            and members.anchor_key = user_values.anchor_key
    left join anonymous_values
        on
            syncs.sync_name = anonymous_values.sync_name
            and members.anchor_key = anonymous_values.anchor_key

)

select
    sync_name,
    destination,
    cohort_id,
    anchor_key,
    key_value,
    key_type,
    case
        when key_value is not null then 'ok'
        when detail = 'banned_id' then 'invalid_key'
        when detail in ('device_shared', 'device_owned_by_other', 'no_identifier') then 'no_key'
        else 'unmatched'
    end as status,
    if(key_value is null, detail, null) as detail,
    key_value as match_key,
    if(key_value is null, null, matched_on) as matched_on,
    cast(null as varchar) as effect
from joined
