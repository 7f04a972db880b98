-- One row per anonymous id and device: the known user who followed it there, if any (ID-10).
{{ config(
    materialized='incremental',
    incremental_strategy='supersede',
    unique_key='left_key',
    meta={'part': 'links', 'region': 'identity__touched', 'region_key': 'identifier_key'},
) }}
{% set anew = resolves_anew('links') -%}

-- depends_on: {{ ref('identity__touched') }}, {{ ref('identity__new_events') }}
with

anonymous as (

    select * from {{ ref('identity__anonymous_ids') }}

),

known_users as (

    select distinct
        device_key,
        user_key,
        namespace,
        device_id,
        user_id
    from {{ ref('identity__sightings') }}
    where
        user_key is not null
        and device_key in (select anonymous.device_key from anonymous)

),

{% if anew -%}
    looked_at as (

        select
            event_time,
            row_key,
            namespace,
            device_id,
            user_id
        from {{ ref('identity__event_rows') }}

    ),
{%- else -%}
    found_before as (

        select links.*
        from {{ this }} as links
        inner join anonymous
            on
                links.left_key = anonymous.left_key
                and links.device_key = anonymous.device_key
                and links.anonymous_at = anonymous.anonymous_at

    ),

    -- Who followed before may only give way to somebody in a new row. For an id that is new here,
    -- or was first seen at another time than was known, old rows since then are looked at too.
    looked_for_anew as (

        select min(anonymous.anonymous_at) as since_at
        from anonymous
        anti join found_before
            on
                anonymous.left_key = found_before.left_key
                and anonymous.device_key = found_before.device_key

    ),

    looked_at as (

        select
            event_time,
            row_key,
            namespace,
            device_id,
            user_id
        from {{ ref('identity__new_events') }}

        union all

        select
            event_time,
            row_key,
            namespace,
            device_id,
            user_id
        from {{ ref('identity__event_rows') }}
        where event_time >= (select looked_for_anew.since_at from looked_for_anew)

        union all

        select
            event_time,
            row_key,
            namespace,
            device_id,
            user_id
        from {{ ref('identity__event_rows') }}
        where
            event_time is null
            and (select looked_for_anew.since_at from looked_for_anew) is not null

    ),
{%- endif %}

known as (

    select
        known_users.device_key,
        coalesce(looked_at.event_time, timestamp 'infinity') as known_at,
        min({
            'user_id': known_users.user_id,
            'row_key': looked_at.row_key,
            'user_key': known_users.user_key
        }) as known_row
    from looked_at
    inner join known_users
        on
            looked_at.device_id = known_users.device_id
            and looked_at.user_id = known_users.user_id
            and looked_at.namespace = known_users.namespace
    group by known_users.device_key, coalesce(looked_at.event_time, timestamp 'infinity')

),

found as (

    select
        anonymous.left_key,
        anonymous.device_key,
        known.known_at,
        known.known_row['user_id'] as user_id,
        known.known_row['row_key'] as known_row,
        known.known_row['user_key'] as user_key
    from anonymous
    asof inner join known
        on
            anonymous.device_key = known.device_key
            and anonymous.anonymous_at <= known.known_at

    {% if not anew %}
        union all

        select
            left_key,
            device_key,
            known_at,
            right_id_value as user_id,
            known_row,
            right_key as user_key
        from found_before
        where right_key is not null
    {% endif %}

),

firsts as (

    select
        left_key,
        device_key,
        min({
            'known_at': known_at,
            'user_id': user_id,
            'known_row': known_row,
            'user_key': user_key
        }) as followed_by
    from found
    group by left_key, device_key

)

select
    -- keys
    anonymous.left_key,
    anonymous.left_id_type,
    anonymous.left_id_value,
    anonymous.namespace,
    anonymous.device_key,
    anonymous.device_id,
    firsts.followed_by['user_key'] as right_key,
    'user_id' as right_id_type,
    firsts.followed_by['user_id'] as right_id_value,

    -- the evidence
    anonymous.anonymous_row,
    firsts.followed_by['known_row'] as known_row,

    -- times, those of rows without one at the end of all
    anonymous.anonymous_at,
    firsts.followed_by['known_at'] as known_at
from anonymous
left join firsts
    on
        anonymous.left_key = firsts.left_key
        and anonymous.device_key = firsts.device_key
