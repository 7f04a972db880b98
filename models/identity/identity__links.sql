-- One row per candidate link: what it states and shows it; followed, agreeing or refused (ID-7).
{{ config(materialized='view') }}

with

-- How often and when an amplitude id and a user id stood in one row.
seen as (

    select
        amplitude_key,
        user_key,
        sum(row_count) as row_count,
        max(last_seen_at) as last_seen_at
    from {{ ref('identity__sightings_to_date') }}
    where amplitude_key is not null and user_key is not null
    group by amplitude_key, user_key

),

-- Tables are named where they are read: a CTE read twice would be kept, and hide them from filters.
judged as (

    select
        candidates.* replace (
            cast(coalesce(seen.row_count, candidates.row_count) as bigint) as row_count,
            coalesce(seen.last_seen_at, candidates.last_seen_at) as last_seen_at
        ),
        coalesce(
            left_ends.follows_key = candidates.right_key
            and left_ends.follows_class = candidates.link_class,
            false
        ) as is_followed,
        coalesce(left_ends.end_key = right_ends.end_key, false) as is_one_person,
        left_ends.anchor_key as left_anchor_key,
        right_ends.anchor_key as right_anchor_key,
        firsts.link_class as first_class
    from {{ ref('identity__candidates') }} as candidates
    left join {{ ref('identity__identifiers') }} as left_ends
        on candidates.left_key = left_ends.identifier_key
    left join {{ ref('identity__identifiers') }} as right_ends
        on candidates.right_key = right_ends.identifier_key
    left join {{ ref('identity__candidates') }} as firsts
        on
            candidates.left_key = firsts.left_key
            and candidates.link_rank > 1
            and firsts.link_rank = 1
    left join seen
        on
            candidates.left_key = seen.amplitude_key
            and candidates.right_key = seen.user_key
            and candidates.link_class = 'observed'

)

select
    -- keys
    left_key,
    right_key,
    link_class,
    namespace,
    left_id_type,
    left_id_value,
    right_id_type,
    right_id_value,
    {{ person_id_of('left_anchor_key') }} as left_person_id,
    {{ person_id_of('right_anchor_key') }} as right_person_id,

    -- attributes
    case
        when is_followed then 'followed'
        when is_one_person then 'agrees'
        else 'refused'
    end as decision,
    case
        when is_followed or is_one_person then null
        when link_rank = 1 then 'separated'
        when first_class = 'override' then 'overridden'
        when link_class = 'observed' then 'other_user_first'
        when first_class = 'observed' then 'known_id'
        else 'earlier_merge'
    end as reason,

    -- the evidence
    case link_class
        when 'override' then 'overrides'
        when 'merged' then 'merged ids'
        else 'rows'
    end as source,
    row_count,
    first_row,
    device_id,
    known_row,

    -- times
    first_seen_at,
    last_seen_at
from judged
