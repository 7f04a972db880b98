-- One row per person: the anchor that names it, what it consists of, and what is remarkable about it.
with

identifiers as (

    select * from {{ ref('identity__identifiers') }}
    where anchor_key is not null

),

sightings as (

    select * from {{ ref('identity__sightings') }}

),

contaminated as (

    select * from {{ ref('identity__contaminated_ids') }}

),

links as (

    select * from {{ ref('identity__links') }}
    where decision = 'refused'

),

suppressed as (

    select * from {{ ref('identity__suppressed') }}

),

settings as (

    select * from {{ ref('stg_relay__settings') }}

),

-- A row is of the person of its user id; without one, of its amplitude id; without one, of its device.
of_identifiers as (

    select
        coalesce(
            sightings.user_key,
            if(contaminated.amplitude_key is null, sightings.amplitude_key, null),
            sightings.device_key
        ) as identifier_key,
        sightings.device_key,
        sum(sightings.row_count) as row_count,
        min(sightings.first_seen_at) as first_seen_at,
        max(sightings.last_seen_at) as last_seen_at
    from sightings
    left join contaminated
        on sightings.amplitude_key = contaminated.amplitude_key
    group by all

),

seen as (

    select
        identifiers.anchor_key,
        count(distinct of_identifiers.device_key) as devices_count,
        sum(of_identifiers.row_count) as rows_count,
        min(of_identifiers.first_seen_at) as first_seen_at,
        max(of_identifiers.last_seen_at) as last_seen_at
    from of_identifiers
    inner join identifiers
        on of_identifiers.identifier_key = identifiers.identifier_key
    group by identifiers.anchor_key

),

members as (

    select
        anchor_key,
        min({'steps_count': steps_count, 'id_value': id_value}) filter (
            where id_type = 'user_id'
        )['id_value'] as primary_user_id,
        min(try_cast(id_value as bigint)) filter (where id_type = 'amplitude_id')
            as smallest_amplitude_id,
        count(*) filter (where id_type = 'amplitude_id') as amplitude_ids_count,
        count(*) filter (where id_type = 'user_id') as user_ids_count,
        count(*) as identifiers_count
    from identifiers
    group by anchor_key

),

refusals as (

    select left_person_id as person_id from links
    union distinct
    select right_person_id as person_id from links

),

joined as (

    select
        {{ person_id_of('members.anchor_key') }} as person_id,
        members.*,
        {{ identifier_text('anchors.id_type', 'anchors.namespace', 'anchors.id_value') }} as anchor,
        anchors.id_type as anchor_id_type,
        anchors.id_value as anchor_id_value,
        anchors.namespace,
        coalesce(seen.devices_count, 0) as devices_count,
        coalesce(seen.rows_count, 0) as rows_count,
        seen.first_seen_at,
        seen.last_seen_at
    from members
    inner join identifiers as anchors
        on members.anchor_key = anchors.identifier_key
    left join seen
        on members.anchor_key = seen.anchor_key

)

select
    -- keys
    joined.person_id,
    joined.anchor_key,
    joined.anchor,
    joined.anchor_id_type,
    joined.namespace,
    joined.anchor_id_value,
    joined.primary_user_id,
    if(
        joined.anchor_id_type = 'amplitude_id',
        joined.anchor_id_value,
        cast(joined.smallest_amplitude_id as varchar)
    ) as canonical_amplitude_id,

    -- attributes
    joined.amplitude_ids_count,
    joined.user_ids_count,
    joined.devices_count,
    joined.identifiers_count,
    cast(joined.rows_count as bigint) as rows_count,
    list_filter(
        [
            if(
                joined.amplitude_ids_count > settings.flag_amplitude_ids_per_person,
                'many_amplitude_ids',
                null
            ),
            if(joined.devices_count > settings.flag_devices_per_person, 'many_devices', null),
            if(refusals.person_id is not null, 'refused_links', null)
        ],
        lambda flag: flag is not null
    ) as flags,
    suppressed.person_id is not null as is_suppressed,

    -- times
    joined.first_seen_at,
    joined.last_seen_at
from joined
cross join settings
left join refusals
    on joined.person_id = refusals.person_id
left join suppressed
    on joined.person_id = suppressed.person_id
