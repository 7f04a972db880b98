-- One row per candidate link: the left may be the person of the right; rank 1 is the first (ID-7).
{{ config(
    materialized='incremental',
    incremental_strategy='supersede',
    unique_key='left_key',
    meta={'part': 'links', 'region': 'identity__touched', 'region_key': 'identifier_key'},
) }}
{% set anew = resolves_anew('links') -%}

with

touched as (

    select * from {{ ref('identity__touched') }}

),

sightings as (

    select * from {{ ref('identity__sightings') }}
    {% if not anew %}
        where amplitude_key in ({{ keys_of('touched', 'identifier_key') }})
    {% endif %}

),

contaminated as (

    select * from {{ ref('identity__contaminated_ids') }}

),

overrides as (

    select * from {{ ref('identity__overrides') }}
    where kind = 'link'

),

merge_rows as (

    select * from {{ ref('identity__merges') }}
    {% if not anew %}
        where left_key in ({{ keys_of('touched', 'identifier_key') }})
    {% endif %}

),

device_links as (

    select * from {{ ref('identity__device_links') }}
    where
        right_key is not null
        {% if not anew %}
            and left_key in ({{ keys_of('touched', 'identifier_key') }})
        {% endif %}

),

overridden as (

    select
        1 as class_number,
        'override' as link_class,
        left_key,
        left_id_type,
        left_id_value,
        right_key,
        right_id_type,
        right_id_value,
        namespace,
        count(*) as row_count,
        'overrides line ' || min(line) as first_row,
        cast(min(decided_on) as timestamp) as first_seen_at,
        cast(max(decided_on) as timestamp) as last_seen_at
    from overrides
    group by
        left_key, left_id_type, left_id_value, right_key, right_id_type, right_id_value, namespace

),

observed as (

    select
        2 as class_number,
        'observed' as link_class,
        amplitude_key as left_key,
        'amplitude_id' as left_id_type,
        cast(amplitude_id as varchar) as left_id_value,
        user_key as right_key,
        'user_id' as right_id_type,
        user_id as right_id_value,
        namespace,
        -- How often and when they stood together last, `identity.links` says.
        cast(null as bigint) as row_count,
        {{ first_of('first_seen_at', 'first_row') }} as first_row,
        min(first_seen_at) as first_seen_at,
        cast(null as timestamp) as last_seen_at
    from sightings
    where amplitude_key is not null and user_key is not null
    group by amplitude_key, amplitude_id, user_key, user_id, namespace

),

merged as (

    select
        3 as class_number,
        'merged' as link_class,
        left_key,
        'amplitude_id' as left_id_type,
        cast(amplitude_id as varchar) as left_id_value,
        right_key,
        'amplitude_id' as right_id_type,
        cast(merged_amplitude_id as varchar) as right_id_value,
        namespace,
        row_count,
        'merge ' || amplitude_id || ' > ' || merged_amplitude_id
        || coalesce(' of ' || strftime(first_seen_at, '%Y-%m-%dT%H:%M:%SZ'), '') as first_row,
        first_seen_at,
        last_seen_at
    from merge_rows

),

stronger as (

    select * from overridden
    union all
    select * from observed
    union all
    select * from merged

),

stated as (

    select stronger.*
    from stronger
    where
        left_key not in (select contaminated.amplitude_key from contaminated)
        and right_key not in (select contaminated.amplitude_key from contaminated)

),

-- An id that Amplitude or a person says something about is not anonymous: no device speaks for it.
suggested as (

    select
        4 as class_number,
        'device' as link_class,
        left_key,
        left_id_type,
        left_id_value,
        right_key,
        right_id_type,
        right_id_value,
        namespace,
        1 as row_count,
        anonymous_row as first_row,
        nullif(known_at, timestamp 'infinity') as first_seen_at,
        nullif(known_at, timestamp 'infinity') as last_seen_at,
        device_id,
        known_row
    from device_links
    where left_key not in (select stated.left_key from stated)
    qualify row_number() over (
        partition by left_key
        order by known_at, right_id_value, device_id
    ) = 1

),

candidates as (

    select * from stated
    union all by name
    select * from suggested

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

    -- An identifier follows the first of its candidates.
    row_number() over (
        partition by left_key
        order by
            class_number,
            if(link_class = 'override', null, first_seen_at) nulls last,
            {{ identifier_order('right_id_type', 'right_id_value') }}
    ) as link_rank,

    -- the evidence
    cast(row_count as bigint) as row_count,
    first_row,
    device_id,
    known_row,

    -- times
    first_seen_at,
    last_seen_at
from candidates
