-- One row per person: the anchor that names it, what it consists of, what is remarkable (ID-12).
{{ config(
    materialized='incremental',
    incremental_strategy='supersede',
    unique_key='anchor_key',
    meta={'part': 'persons', 'region': 'identity__touched_persons', 'region_key': 'anchor_key'},
) }}
{% set anew = resolves_anew('persons') -%}

with

touched_persons as (

    select * from {{ ref('identity__touched_persons') }}

),

settings as (

    select * from {{ ref('stg_relay__settings') }}

),

identifiers as{% if anew %} not materialized{% endif %} (

    select * from {{ ref('identity__identifiers') }}
    where
        anchor_key is not null
        {% if not anew %}
            and anchor_key in ({{ keys_of('touched_persons', 'anchor_key') }})
        {% endif %}

),

sightings as (

    select * from {{ ref('identity__attributed_sightings') }}
    {% if not anew %}
        where identifier_key in ({{ keys_of('identifiers', 'identifier_key') }})
    {% endif %}

),

suppressed as (

    select * from {{ ref('identity__suppressed') }}

),

-- Links that are not followed, to tell those that are refused.
other_links as (

    select
        left_key,
        right_key
    from {{ ref('identity__candidates') }}
    where
        link_rank > 1
        {% if not anew %}
            and left_key in ({{ keys_of('identifiers', 'identifier_key') }})
        {% endif %}

    {% if not anew %}
        union distinct

        select
            left_key,
            right_key
        from {{ ref('identity__candidates') }}
        where
            link_rank > 1
            and right_key in ({{ keys_of('identifiers', 'identifier_key') }})
    {% endif %}

    union distinct

    -- Of those that are cut off there are few.
    select
        left_key,
        right_key
    from {{ ref('identity__candidates') }}
    where left_key in ({{ keys_of(ref('identity__stops'), 'identifier_key') }})

),

other_ends as (

    select
        identifier_key,
        anchor_key
    from {{ ref('identity__identifiers') }}
    where
        identifier_key in (
            {{ keys_of('other_links', 'left_key') }}
            union all
            {{ keys_of('other_links', 'right_key') }}
        )

),

refusals as (

    select
        left_ends.anchor_key as left_anchor_key,
        right_ends.anchor_key as right_anchor_key
    from other_links
    left join other_ends as left_ends
        on other_links.left_key = left_ends.identifier_key
    left join other_ends as right_ends
        on other_links.right_key = right_ends.identifier_key
    where left_ends.anchor_key is distinct from right_ends.anchor_key

),

refused as (

    select left_anchor_key as anchor_key from refusals
    union distinct
    select right_anchor_key as anchor_key from refusals

),

seen as (

    select
        identifiers.anchor_key,
        count(distinct sightings.device_key) as devices_count
    from sightings
    inner join identifiers
        on sightings.identifier_key = identifiers.identifier_key
    group by identifiers.anchor_key

),

members as (

    select
        anchor_key,
        min(id_value) filter (where identifier_key = primary_user_key) as primary_user_id,
        min(try_cast(id_value as bigint)) filter (where id_type = 'amplitude_id')
            as smallest_amplitude_id,
        count(*) filter (where id_type = 'amplitude_id') as amplitude_ids_count,
        count(*) filter (where id_type = 'user_id') as user_ids_count,
        min(namespace) filter (where identifier_key = anchor_key) as namespace,
        min(id_type) filter (where identifier_key = anchor_key) as anchor_id_type,
        min(id_value) filter (where identifier_key = anchor_key) as anchor_id_value
    from identifiers
    group by anchor_key

),

joined as (

    select
        members.*,
        coalesce(seen.devices_count, 0) as devices_count,
        suppressed.anchor_key is not null as is_suppressed,
        [
            if(
                members.amplitude_ids_count > settings.flag_amplitude_ids_per_person,
                'many_amplitude_ids',
                null
            ),
            if(seen.devices_count > settings.flag_devices_per_person, 'many_devices', null),
            if(refused.anchor_key is not null, 'refused_links', null)
        ] as possible_flags
    from members
    cross join settings
    left join seen
        on members.anchor_key = seen.anchor_key
    left join refused
        on members.anchor_key = refused.anchor_key
    left join suppressed
        on members.anchor_key = suppressed.anchor_key

)

select
    -- keys
    {{ person_id_of('anchor_key') }} as person_id,
    anchor_key,
    {{ identifier_text('anchor_id_type', 'namespace', 'anchor_id_value') }} as anchor,
    anchor_id_type,
    namespace,
    anchor_id_value,
    primary_user_id,
    if(
        anchor_id_type = 'amplitude_id', anchor_id_value, cast(smallest_amplitude_id as varchar)
    ) as canonical_amplitude_id,

    -- attributes
    amplitude_ids_count,
    user_ids_count,
    devices_count,
    list_filter(possible_flags, lambda flag: flag is not null) as flags,
    is_suppressed
from joined
