-- One row per event uuid that was loaded more than once: the version that counts (ID-2).
{{ config(
    materialized='incremental',
    incremental_strategy='supersede',
    unique_key='uuid',
    meta={'part': 'evidence'},
) }}

with

scope as (

    select * from {{ ref('identity__scope') }}

),

events as not materialized (

    select * from {{ ref('stg_amplitude__events') }}

),

junk_ids as (

    select * from {{ ref('stg_relay__junk_ids') }}

),

new_uuids as (

    select
        uuid,
        count(*) as versions_count
    from events
    where load_id > (select scope.since_load_id from scope)
    group by uuid

),

repeated as (

    select uuid from new_uuids
    where versions_count > 1

    {% if not resolves_anew('evidence') %}
        union distinct

        select events.uuid
        from events
        where
            events.uuid in ({{ keys_of('new_uuids', 'uuid') }})
            and events.load_id <= (select scope.since_load_id from scope)
    {% endif %}

),

versions as (

    select
        events.uuid,
        events.project,
        events.amplitude_id,
        events.user_id,
        events.device_id,
        cast(events.user_properties as varchar) as user_properties,
        events.event_time,
        events.load_id
    from events
    semi join repeated
        on events.uuid = repeated.uuid
    where not events.is_relayed

),

judged as (

    select
        *,
        {{ is_junk('amplitude_id', 'cast(amplitude_id as varchar)') }} as is_amplitude_junk,
        {{ is_junk('user_id', 'user_id') }} as is_user_junk,
        {{ is_junk('device_id', 'device_id') }} as is_device_junk
    from versions

),

-- The more of a version's values name somebody, the better.
ranked as (

    select
        *,
        row_number() over (
            partition by uuid
            order by
                if(amplitude_id is null or is_amplitude_junk, 1, 0)
                + if(user_id is null or is_user_junk, 1, 0)
                + if(device_id is null or is_device_junk, 1, 0),
                amplitude_id nulls last,
                user_id nulls last,
                device_id nulls last,
                event_time nulls last,
                user_properties nulls last,
                project nulls last
        ) as version_rank
    from judged

),

summed as (

    select
        uuid,
        min(load_id) as load_id,
        -- A later load that says something else undoes what an earlier build has counted.
        if(
            count(distinct [
                cast(amplitude_id as varchar), user_id, device_id, cast(event_time as varchar),
                user_properties, project
            ]) > 1,
            max(load_id),
            null
        ) as conflict_load_id
    from ranked
    group by uuid

)

select
    -- keys
    ranked.uuid,
    ranked.project,

    -- attributes
    ranked.amplitude_id,
    ranked.user_id,
    ranked.device_id,
    cast(ranked.user_properties as json) as user_properties,

    -- times
    ranked.event_time,

    -- lineage
    summed.load_id,
    summed.conflict_load_id
from ranked
inner join summed
    on ranked.uuid = summed.uuid
where ranked.version_rank = 1
