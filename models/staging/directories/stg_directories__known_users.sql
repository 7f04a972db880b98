-- One row per user of a destination's own directory: its keys, cleaned.
with

source as (

    select * from {{ source('raw', 'known_users') }}

),

renamed as (

    select
        -- keys
        destination,
        {{ clean_text('user_key') }} as user_key,
        {{ clean_text('anonymous_key') }} as anonymous_key,

        -- lineage
        source_file,
        load_id,
        loaded_at
    from source

)

select * from renamed
