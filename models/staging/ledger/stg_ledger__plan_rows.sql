-- One row per change of a sealed plan: the request and position at which it stands.
with

source as (

    select * from {{ source('raw', 'plan_rows') }}

),

renamed as (

    select
        -- keys
        plan_id,
        sync_name,
        change_id,
        request,
        position as row_position,

        -- attributes
        phase,
        action,
        reason,
        key_type,
        key_value,
        match_key,
        cohort_name,
        payload_hash,
        person_ids,
        anchors
    from source

)

select * from renamed
