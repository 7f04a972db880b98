-- One row per event of MoEngage, from Streams or a cloud export: renamed, identifiers cleaned.
with

source as (

    select * from {{ source('raw', 'moengage_events') }}

),

renamed as (

    select
        -- keys
        event_uuid,

        -- identifiers
        {{ clean_text('uid') }} as user_id,
        {{ clean_text('moe_anonymous_id') }} as anonymous_id,
        moengage_user_id,
        email_id,
        push_id,
        mobile_number,

        -- the event
        event_code,
        event_name,
        event_type as event_category,
        event_attributes,
        user_attributes,
        device_attributes,
        extra,

        -- times; MoEngage's are UTC
        event_time as event_at,
        cast(event_time as date) as event_date,

        -- lineage
        source_file,
        load_id,
        loaded_at
    from source

)

select * from renamed
