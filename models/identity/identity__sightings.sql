-- One row per source and combination of identifiers: how often, from when to when they were seen together.
with

event_rows as (

    select * from {{ ref('identity__event_rows') }}

),

cohort_rows as (

    select * from {{ ref('identity__cohort_rows') }}

),

junk_ids as (

    select * from {{ ref('stg_relay__junk_ids') }}

),

seen_in_events as (

    select
        'events' as source,
        namespace,
        amplitude_id,
        user_id,
        device_id,
        count(*) as row_count,
        min(event_time) as first_seen_at,
        max(event_time) as last_seen_at,
        {{ first_of('event_time', 'row_key') }} as first_row,
        max(load_id) as load_id
    from event_rows
    where coalesce(cast(amplitude_id as varchar), user_id, device_id) is not null
    group by namespace, amplitude_id, user_id, device_id

),

seen_in_cohorts as (

    select
        'cohort:' || cohort_id as source,
        namespace,
        amplitude_id,
        user_id,
        cast(null as varchar) as device_id,
        row_count,
        first_seen_at,
        last_seen_at,
        first_row,
        load_id
    from cohort_rows
    where coalesce(cast(amplitude_id as varchar), user_id) is not null

),

seen as (

    select * from seen_in_events
    union all
    select * from seen_in_cohorts

),

judged as (

    select
        *,
        {{ is_junk('amplitude_id', 'cast(amplitude_id as varchar)') }} as is_amplitude_junk,
        {{ is_junk('user_id', 'user_id') }} as is_user_junk,
        {{ is_junk('device_id', 'device_id') }} as is_device_junk
    from seen

)

select
    -- keys
    source,
    namespace,
    amplitude_id,
    user_id,
    device_id,

    -- the identifiers that name somebody
    if(is_amplitude_junk, null, {{ identifier_key("'amplitude_id'", 'namespace', 'amplitude_id') }})
        as amplitude_key,
    if(is_user_junk, null, {{ identifier_key("'user_id'", 'namespace', 'user_id') }}) as user_key,
    if(is_device_junk, null, {{ identifier_key("'device_id'", 'namespace', 'device_id') }})
        as device_key,
    is_amplitude_junk,
    is_user_junk,
    is_device_junk,

    -- attributes
    cast(row_count as bigint) as row_count,
    first_row,

    -- times
    first_seen_at,
    last_seen_at,

    -- lineage
    load_id
from judged
