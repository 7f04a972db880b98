-- One row per event of CleverTap, of an export file or the events API: renamed, ids cleaned.
with

source as (

    select * from {{ source('raw', 'clevertap_events') }}

),

timed as (

    select
        *,
        strptime(cast(ts as varchar), '%Y%m%d%H%M%S') as local_at
    from source

),

renamed as (

    select
        -- keys
        event_key,
        occurrence,

        -- identifiers
        {{ clean_text('identity') }} as clevertap_identity,
        {{ clean_text('object_id') }} as object_id,
        {{ clean_text('email') }} as email,
        {{ clean_text('phone') }} as phone,

        -- the event
        event_name,
        event_props,
        session_props,
        device_info,
        control_group_name,
        extra,
        origin,
        is_withdrawn,

        -- times; CleverTap writes its project's own
        timezone('UTC', timezone(time_zone, local_at)) as event_at,
        cast(local_at as date) as event_date,
        time_zone,

        -- lineage
        source_file,
        load_id,
        loaded_at
    from timed

)

select * from renamed
