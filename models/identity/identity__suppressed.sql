-- One row per person who is sent nowhere: the first line of the suppress file that names one of its identifiers.
with

suppressions as (

    select * from {{ ref('stg_relay__suppressions') }}

),

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

-- Who was seen on a device: of an attribute it is not enough to ask whose identifier it is.
on_devices as (

    select distinct
        sightings.device_id,
        coalesce(
            sightings.user_key,
            if(
                sightings.amplitude_key in (select amplitude_key from contaminated),
                null,
                sightings.amplitude_key
            ),
            sightings.device_key
        ) as identifier_key
    from sightings
    where
        sightings.device_key is not null
        and exists (select 1 from suppressions where id_type = 'device_id')

),

named as (

    select
        anchor_key,
        id_type,
        id_value
    from identifiers

    union all

    select
        identifiers.anchor_key,
        'device_id' as id_type,
        on_devices.device_id as id_value
    from on_devices
    inner join identifiers
        on on_devices.identifier_key = identifiers.identifier_key

)

select
    {{ person_id_of('named.anchor_key') }} as person_id,
    min(suppressions.line) as line
from named
inner join suppressions
    on
        named.id_type = suppressions.id_type
        and if(
            suppressions."match" = 'regex',
            regexp_full_match(named.id_value, suppressions.id_value),
            named.id_value = suppressions.id_value
        )
group by named.anchor_key
