-- One row per cohort of Amplitude's list, as last seen there.
with

source as (

    select * from {{ source('raw', 'amplitude_cohorts') }}

),

renamed as (

    select
        -- keys
        cohort_id,

        -- attributes
        cohort_name,
        cast(app_id as varchar) as app_id,
        description,
        size as declared_size,
        definition,
        is_published,
        is_archived,
        is_finished,

        -- times
        last_computed as last_computed_at,
        last_mod as modified_at,
        created_at,
        listed_at,
        vanished_at
    from source

)

select * from renamed
