-- One row per identifier, also of those nobody has seen yet: what it follows, where that ends, which anchor names it.
with recursive

sightings as (

    select * from {{ ref('identity__sightings') }}

),

contaminated as (

    select * from {{ ref('identity__contaminated_ids') }}

),

devices as (

    select * from {{ ref('identity__devices') }}

),

first_links as (

    select * from {{ ref('identity__candidates') }}
    where link_rank = 1

),

overrides as (

    select * from {{ ref('identity__overrides') }}
    where kind = 'link'

),

stops as (

    select * from {{ ref('identity__stops') }}

),

seen_amplitude_ids as (

    select
        amplitude_key as identifier_key,
        'amplitude_id' as id_type,
        namespace,
        cast(amplitude_id as varchar) as id_value,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at
    from sightings
    where
        amplitude_key is not null
        and amplitude_key not in (select amplitude_key from contaminated)
    group by amplitude_key, namespace, amplitude_id

),

seen_user_ids as (

    select
        user_key as identifier_key,
        'user_id' as id_type,
        namespace,
        user_id as id_value,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at
    from sightings
    where user_key is not null
    group by user_key, namespace, user_id

),

-- A device is an identifier where nothing better is in its rows, or where an override names it.
named_devices as (

    select device_key
    from sightings
    where
        device_key is not null
        and user_key is null
        and (
            amplitude_key is null
            or amplitude_key in (select amplitude_key from contaminated)
        )

    union distinct

    select left_key from overrides

    union distinct

    select right_key from overrides

),

seen_devices as (

    select
        devices.device_key as identifier_key,
        'device_id' as id_type,
        devices.namespace,
        devices.device_id as id_value,
        devices.first_seen_at,
        devices.last_seen_at
    from devices
    semi join named_devices
        on devices.device_key = named_devices.device_key

),

seen as (

    select * from seen_amplitude_ids
    union all
    select * from seen_user_ids
    union all
    select * from seen_devices

),

linked as (

    select
        left_key as identifier_key,
        left_id_type as id_type,
        namespace,
        left_id_value as id_value
    from first_links

    union distinct

    select
        right_key as identifier_key,
        right_id_type as id_type,
        namespace,
        right_id_value as id_value
    from first_links

),

nodes as (

    select
        *,
        true as is_seen
    from seen

    union all by name

    select
        linked.*,
        false as is_seen
    from linked
    anti join seen
        on linked.identifier_key = seen.identifier_key

),

followed as (

    select
        left_key,
        right_key,
        link_class,
        left_id_value as left_order
    from first_links
    where left_key not in (select identifier_key from stops)

),

longer as (

    select followed.*
    from followed
    semi join followed as next_links
        on followed.right_key = next_links.left_key

),

links as (

    select * from longer

    union distinct

    select * from followed
    where left_key in (select right_key from longer)

),

walk as (

    {{ chain_walk('walk', 'links') }}

),

ends as (

    select
        left_key,
        right_key as end_key,
        steps
    from walk
    where round = (select max(round) from walk)

),

resolved as (

    select
        nodes.*,
        followed.right_key as follows_key,
        followed.link_class as follows_class,
        coalesce(ends.end_key, followed.right_key, nodes.identifier_key) as end_key,
        case
            when followed.right_key is null then 0
            else coalesce(ends.steps, 1)
        end as steps_count
    from nodes
    left join followed
        on nodes.identifier_key = followed.left_key
    left join ends
        on nodes.identifier_key = ends.left_key

),

-- The primary user id is the one nearest the end of the chain.
primary_users as (

    select
        end_key,
        min({
            'steps_count': steps_count, 'id_value': id_value, 'identifier_key': identifier_key
        })['identifier_key'] as primary_user_key
    from resolved
    where id_type = 'user_id'
    group by end_key

),

anchors as (

    select
        resolved.end_key,
        primary_users.primary_user_key,
        bool_or(resolved.is_seen) as is_person,
        min(try_cast(resolved.id_value as bigint)) filter (
            where
            resolved.follows_class = 'observed'
            and resolved.follows_key = primary_users.primary_user_key
        ) as primary_amplitude_id,
        min(try_cast(resolved.id_value as bigint)) filter (
            where resolved.follows_class = 'observed'
        ) as known_amplitude_id
    from resolved
    left join primary_users
        on resolved.end_key = primary_users.end_key
    group by resolved.end_key, primary_users.primary_user_key

)

select
    -- keys
    resolved.identifier_key,
    resolved.id_type,
    resolved.namespace,
    resolved.id_value,

    -- attributes
    resolved.follows_key,
    resolved.follows_class,
    resolved.steps_count,
    resolved.end_key,
    anchors.primary_user_key,
    resolved.is_seen,

    -- The first that exists of the three in ID-12.
    case
        when not anchors.is_person then null
        when coalesce(anchors.primary_amplitude_id, anchors.known_amplitude_id) is null
            then resolved.end_key
        else {{ identifier_key(
            "'amplitude_id'",
            'resolved.namespace',
            'coalesce(anchors.primary_amplitude_id, anchors.known_amplitude_id)'
        ) }}
    end as anchor_key,

    -- times
    resolved.first_seen_at,
    resolved.last_seen_at
from resolved
inner join anchors
    on resolved.end_key = anchors.end_key
