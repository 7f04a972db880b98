-- One row per identifier and user property that a sync asks for: the latest usable value of its rows (ID-16).
with

syncs as (

    select * from {{ ref('stg_relay__syncs') }}
    where kind = 'cohort_sync'

),

clevertap_exports as (

    select * from {{ ref('stg_relay__syncs') }}
    where kind = 'event_export' and json_extract_string(config, '$.source') = 'clevertap'

),

event_rows as (

    select * from {{ ref('identity__event_rows') }}

),

members as (

    select * from {{ ref('stg_amplitude__cohort_members') }}

),

snapshots as (

    select * from {{ ref('stg_amplitude__cohort_snapshots') }}

),

namespaces as (

    select * from {{ ref('stg_relay__namespaces') }}

),

sightings as (

    select * from {{ ref('identity__sightings') }}

),

contaminated as (

    select * from {{ ref('identity__contaminated_ids') }}

),

junk_ids as (

    select * from {{ ref('stg_relay__junk_ids') }}

),

properties as (

    select distinct unnest(list_concat(user_id_from, anonymous_id_from)) as property
    from syncs

),

asked as (

    select property
    from properties
    where property not in ('user_id', 'device_id')

    union distinct

    -- CleverTap's events may name a person by it (ID-21).
    select 'CleverTap_Identity' as property
    from clevertap_exports

),

in_events as (

    select
        'events' as source,
        event_rows.namespace,
        event_rows.amplitude_id,
        event_rows.user_id,
        event_rows.device_id,
        event_rows.event_time as seen_at,
        asked.property,
        {{ json_property('event_rows.user_properties', 'asked.property') }} as json_value
    from event_rows
    inner join asked
        on contains(cast(event_rows.user_properties as varchar), asked.property)

),

in_cohorts as (

    select
        'cohort:' || members.cohort_id as source,
        coalesce(namespaces.namespace, 'default') as namespace,
        members.amplitude_id,
        members.user_id,
        cast(null as varchar) as device_id,
        max(lasts.last_computed_at) as seen_at,
        asked.property,
        {{ json_property('members.properties', 'asked.property') }} as json_value
    from members
    inner join asked
        on contains(cast(members.properties as varchar), asked.property)
    inner join snapshots as lasts
        on
            members.cohort_id = lasts.cohort_id
            and members.entered_at <= lasts.last_computed_at
            and lasts.last_computed_at < coalesce(members.left_at, timestamp 'infinity')
    inner join snapshots as newest
        on
            members.cohort_id = newest.cohort_id
            and newest.is_newest
    left join namespaces
        on newest.app_id = namespaces.project
    group by all

),

found as (

    select * from in_events
    union all
    select * from in_cohorts

),

cleaned as (

    select
        * exclude (json_value),
        {{ clean_json_scalar('json_value') }} as property_value
    from found

),

usable as (

    select *
    from cleaned
    where
        property_value is not null
        and not {{ is_junk_property('property', 'property_value') }}

)

select
    coalesce(
        sightings.user_key,
        if(contaminated.amplitude_key is null, sightings.amplitude_key, null),
        sightings.device_key
    ) as identifier_key,
    usable.property,
    {{ last_of('usable.seen_at', 'usable.property_value', 'usable.property_value') }}
        as property_value,
    max(usable.seen_at) as seen_at
from usable
inner join sightings
    on
        usable.source = sightings.source
        and usable.namespace = sightings.namespace
        and usable.amplitude_id is not distinct from sightings.amplitude_id
        and usable.user_id is not distinct from sightings.user_id
        and usable.device_id is not distinct from sightings.device_id
left join contaminated
    on sightings.amplitude_key = contaminated.amplitude_key
group by all
having identifier_key is not null
