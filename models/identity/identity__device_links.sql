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

-- Users on the devices of anonymous ids, by combination of identifiers.
known_users as (

    select
        device_key,
        user_key,
        namespace,
        device_id,
        user_id,
        first_row,
        coalesce(first_seen_at, timestamp 'infinity') as first_seen_at,
        coalesce(last_seen_at, timestamp 'infinity') as last_seen_at
    from {{ ref('identity__sightings') }}
    where
        user_key is not null
        and device_key in ({{ keys_of('anonymous', 'device_key') }})

),

{% if not anew -%}
    found_before as (

        select links.*
        from {{ this }} as links
        inner join anonymous
            on
                links.left_key = anonymous.left_key
                and links.device_key = anonymous.device_key
                and links.anonymous_at = anonymous.anonymous_at

    ),

{% endif -%}
-- When a combination was first seen, its sighting says. Of one that was seen before the anonymous
-- id and after it too, only the rows tell when that was next.
devices_to_read as (

    select distinct anonymous.device_id
    from anonymous
    inner join known_users
        on
            anonymous.device_key = known_users.device_key
            and anonymous.anonymous_at > known_users.first_seen_at
            and anonymous.anonymous_at <= known_users.last_seen_at
    {% if not anew %}
        -- Who followed before may only give way to somebody in a new row.
        anti join found_before
            on
                anonymous.left_key = found_before.left_key
                and anonymous.device_key = found_before.device_key
    {% endif %}

),

looked_at as (

    select
        event_rows.event_time,
        event_rows.row_key,
        event_rows.namespace,
        event_rows.device_id,
        event_rows.user_id
    from {{ ref('identity__event_rows') }} as event_rows
    where event_rows.device_id in (select devices_to_read.device_id from devices_to_read)

    union all

    -- Rows without a time come last, also those of combinations that other rows date.
    select
        event_rows.event_time,
        event_rows.row_key,
        event_rows.namespace,
        event_rows.device_id,
        event_rows.user_id
    from {{ ref('identity__event_rows') }} as event_rows
    where
        event_rows.event_time is null
        and event_rows.device_id in (select known_users.device_id from known_users)

    {% if not anew %}
        union all

        select
            event_time,
            row_key,
            namespace,
            device_id,
            user_id
        from {{ ref('identity__new_events') }}
    {% endif %}

),

seen as (

    select
        device_key,
        first_seen_at as known_at,
        user_id,
        first_row as row_key,
        user_key
    from known_users

    union all

    select
        known_users.device_key,
        coalesce(looked_at.event_time, timestamp 'infinity') as known_at,
        known_users.user_id,
        looked_at.row_key,
        known_users.user_key
    from looked_at
    inner join known_users
        on
            looked_at.device_id = known_users.device_id
            and looked_at.user_id = known_users.user_id
            and looked_at.namespace = known_users.namespace

),

known as (

    select
        device_key,
        known_at,
        min({
            'user_id': user_id, 'row_key': row_key, 'user_key': user_key
        }) as known_row
    from seen
    group by device_key, known_at

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
