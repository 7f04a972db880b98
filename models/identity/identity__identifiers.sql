-- One row per identifier, also of those that links alone name: where its chain ends, whose anchor.
{{ config(
    materialized='incremental',
    incremental_strategy='supersede',
    unique_key='identifier_key',
    meta={'part': 'links', 'region': 'identity__region', 'region_key': 'identifier_key'},
) }}
{% set anew = resolves_anew('links') -%}

with recursive

scope as (

    select * from {{ ref('identity__scope') }}

),

region as (

    select * from {{ ref('identity__region') }}

),

nodes as (

    select * from {{ ref('identity__nodes') }}
    {% if not anew %}
        where identifier_key in (select region.identifier_key from region)
    {% endif %}

),

first_links as (

    select
        left_key,
        right_key,
        link_class
    from {{ ref('identity__candidates') }}
    where
        link_rank = 1
        {% if not anew %}
            and left_key in ({{ keys_of('region', 'identifier_key') }})
        {% endif %}

),

stops as (

    select * from {{ ref('identity__stops') }}

),

followed as (

    select
        *,
        cast(null as varchar) as left_order
    from first_links
    where left_key not in (select stops.identifier_key from stops)

),

longer as (

    {{ longer_links('followed') }}

),

links as (

    select * from longer

    union all

    select followed.*
    from followed
    anti join longer
        on followed.left_key = longer.left_key
    where followed.left_key in (select passed.right_key from longer as passed)

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
    where round = (select max(rounds.round) from walk as rounds)

),

resolved as (

    select
        nodes.*,
        first_links.right_key as first_key,
        first_links.link_class as first_class,
        if(stops.identifier_key is null, first_links.right_key, null) as follows_key,
        if(stops.identifier_key is null, first_links.link_class, null) as follows_class,
        coalesce(ends.end_key, follows_key, nodes.identifier_key) as end_key,
        if(follows_key is null, 0, coalesce(ends.steps, 1)) as steps_count
    from nodes
    left join first_links
        on nodes.identifier_key = first_links.left_key
    left join stops
        on nodes.identifier_key = stops.identifier_key
    left join ends
        on nodes.identifier_key = ends.left_key

),

-- The primary user id is the one nearest the end of the chain: the end itself, if that is one. Only
-- overrides lead on from a user id.
inner_users as (

    select
        end_key,
        min({
            'steps_count': steps_count, 'id_value': id_value, 'identifier_key': identifier_key
        })['identifier_key'] as user_key
    from resolved
    where id_type = 'user_id' and steps_count > 0
    group by end_key

),

primary_users as (

    select * from inner_users
    where
        end_key not in (
            select resolved.identifier_key
            from resolved
            where
                resolved.id_type = 'user_id'
                and resolved.identifier_key in (select inner_users.end_key from inner_users)
        )

),

judged as (

    select
        resolved.identifier_key,
        resolved.end_key,
        resolved.is_seen,
        resolved.id_type = 'user_id' and resolved.steps_count = 0 as is_user_end,
        resolved.follows_class = 'observed' as is_known,
        resolved.follows_key = coalesce(primary_users.user_key, resolved.end_key) as is_primary,
        try_cast(resolved.id_value as bigint) as amplitude_id
    from resolved
    left join primary_users
        on resolved.end_key = primary_users.end_key

),

-- The first that exists of the three in ID-12. Rows of links alone make no person.
anchors as (

    select
        end_key,
        bool_or(is_user_end) as is_user_end,
        case
            when bool_or(is_seen)
                then coalesce(
                    arg_min(identifier_key, amplitude_id) filter (where is_known and is_primary),
                    arg_min(identifier_key, amplitude_id) filter (where is_known),
                    end_key
                )
        end as anchor_key
    from judged
    group by end_key

),

named as (

    select
        resolved.*,
        anchors.anchor_key,
        coalesce(
            primary_users.user_key, if(anchors.is_user_end, resolved.end_key, null)
        ) as primary_user_key
    from resolved
    inner join anchors
        on resolved.end_key = anchors.end_key
    left join primary_users
        on resolved.end_key = primary_users.end_key

)

select
    -- keys
    named.identifier_key,
    named.id_type,
    named.namespace,
    named.id_value,

    -- attributes
    named.first_key,
    named.first_class,
    named.follows_key,
    named.follows_class,
    named.steps_count,
    named.end_key,
    named.anchor_key,
    named.primary_user_key,
    named.is_seen,

    -- lineage
    scope.build_number
from named
cross join scope
