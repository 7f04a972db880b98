-- One row per delivered merge of two amplitude ids: the left one was absorbed by the right one.
with

source as (

    select * from {{ source('raw', 'amplitude_merges') }}

),

renamed as (

    select
        -- keys
        if(amplitude_id >= 1, amplitude_id, null) as amplitude_id,
        if(merged_amplitude_id >= 1, merged_amplitude_id, null) as merged_amplitude_id,
        cast(scope as varchar) as project,

        -- times
        {{ epoch_timestamp('coalesce(merge_time, merge_server_time)') }} as merged_at,

        -- lineage
        source_file,
        load_id,
        loaded_at
    from source

)

select * from renamed
