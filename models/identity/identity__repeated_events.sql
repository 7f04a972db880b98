-- One row per event uuid that was loaded more than once: the version that counts (ID-2).
with

events as (

    select * from {{ ref('stg_amplitude__events') }}
    where not is_relayed

),

junk_ids as (

    select * from {{ ref('stg_relay__junk_ids') }}

),

repeated as (

    select uuid
    from events
    group by uuid
    having count(*) > 1

),

versions as (

    select
        events.uuid,
        events.project,
        events.amplitude_id,
        events.user_id,
        events.device_id,
        events.user_properties,
        events.event_time,
        events.load_id
    from events
    inner join repeated
        on events.uuid = repeated.uuid

),

-- Which of the values name somebody: the more of them a version has, the better.
judged as (

    select
        *,
        {{ is_junk('amplitude_id', 'cast(amplitude_id as varchar)') }} as is_amplitude_junk,
        {{ is_junk('user_id', 'user_id') }} as is_user_junk,
        {{ is_junk('device_id', 'device_id') }} as is_device_junk
    from versions

)

select
    uuid,
    project,
    amplitude_id,
    user_id,
    device_id,
    user_properties,
    event_time,
    min(load_id) over (partition by uuid) as load_id
from judged
qualify row_number() over (
    partition by uuid
    order by
        if(amplitude_id is null or is_amplitude_junk, 0, 1)
        + if(user_id is null or is_user_junk, 0, 1)
        + if(device_id is null or is_device_junk, 0, 1) desc,
        amplitude_id nulls last,
        user_id nulls last,
        device_id nulls last,
        event_time nulls last,
        cast(user_properties as varchar) nulls last,
        project nulls last
) = 1
