-- One row per cohort, row of its file and run of snapshots that hold it: renamed, identifiers
-- cleaned.
with

source as (

    select * from {{ source('raw', 'amplitude_cohort_members') }}

),

renamed as (

    select
        -- keys
        cohort_id,
        if(amplitude_id >= 1, amplitude_id, null) as amplitude_id,
        {{ clean_text('user_id') }} as user_id,

        -- attributes
        properties,
        row_count,

        -- times
        entered_at,
        left_at,

        -- lineage
        source_file,
        load_id
    from source

)

select * from renamed
