-- One row per candidate link: the left identifier may be the person of the right one; rank 1 is the one to follow.
with

sightings as (

    select * from {{ ref('identity__sightings') }}

),

merges as (

    select * from {{ ref('identity__merges') }}

),

overrides as (

    select * from {{ ref('identity__overrides') }}
    where kind = 'link'

),

device_links as (

    select * from {{ ref('identity__device_links') }}

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
        sum(row_count) as row_count,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at,
        {{ first_of('first_seen_at', 'first_row') }} as first_row
    from sightings
    where amplitude_key is not null and user_key is not null
    group by amplitude_key, amplitude_id, user_key, user_id, namespace

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
        cast(min(decided_on) as timestamp) as first_seen_at,
        cast(max(decided_on) as timestamp) as last_seen_at,
        'overrides line ' || min(line) as first_row
    from overrides
    group by
        left_key, left_id_type, left_id_value, right_key, right_id_type, right_id_value, namespace

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
        first_seen_at,
        last_seen_at,
        'merge ' || amplitude_id || ' > ' || merged_amplitude_id
        || coalesce(' of ' || strftime(first_seen_at, '%Y-%m-%dT%H:%M:%SZ'), '') as first_row
    from merges

),

stronger as (

    select * from overridden
    union all
    select * from observed
    union all
    select * from merged

),

-- An id that Amplitude or a person says something about is not anonymous: no device speaks for it.
on_devices as (

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
        known_at as first_seen_at,
        known_at as last_seen_at,
        anonymous_row as first_row,
        device_id,
        known_row
    from device_links
    anti join stronger
        using (left_key)

),

candidates as (

    select * from stronger
    union all by name
    select * from on_devices

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

    -- An identifier follows the first of its candidates (ID-7).
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
