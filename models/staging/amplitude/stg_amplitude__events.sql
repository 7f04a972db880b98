-- One row per event of Amplitude's export: renamed and typed, its identifiers cleaned.
with

source as (

    select * from {{ source('raw', 'amplitude_events') }}

),

renamed as (

    select
        -- keys
        uuid,
        "$insert_id" as insert_id,
        "$insert_key" as insert_key,
        event_id,
        session_id,
        coalesce(project, cast(app as varchar)) as project,
        app,
        {{ event_key(
            'coalesce(project, cast(app as varchar))', clean_text('device_id'), '"$insert_id"', 'uuid'
        ) }} as event_key,

        -- identifiers
        if(amplitude_id >= 1, amplitude_id, null) as amplitude_id,
        {{ clean_text('user_id') }} as user_id,
        {{ clean_text('device_id') }} as device_id,

        -- the event
        event_type,
        event_properties,
        user_properties,
        groups,
        group_properties,
        global_user_properties,
        data,
        data_type,
        partner_id,
        source_id,
        plan,
        paying,
        is_attribution_event,
        sample_rate,
        amplitude_event_type,
        amplitude_attribution_ids,
        "$schema" as schema_version,

        -- where it happened
        adid,
        idfa,
        platform,
        os_name,
        os_version,
        device_brand,
        device_carrier,
        device_family,
        device_manufacturer,
        device_model,
        device_type,
        library,
        start_version,
        version_name,
        language,
        city,
        region,
        country,
        dma,
        location_lat,
        location_lng,
        ip_address,

        -- What was sent to Amplitude by this project, or by the vendors themselves, proves nothing.
        coalesce(starts_with("$insert_id", 'relay:'), false)
        or coalesce(
            contains(cast(event_properties as varchar), '$source')
            and json_extract_string(event_properties, '$."$source"') in ('MOENGAGE', 'CLEVERTAP'),
            false
        ) as is_relayed,

        -- times
        event_time,
        client_event_time,
        client_upload_time,
        server_received_time,
        server_upload_time,
        processed_time,
        user_creation_time,

        -- lineage
        source_file,
        load_id,
        loaded_at
    from source

)

select * from renamed
