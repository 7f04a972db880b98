-- One row per accepted snapshot of a cohort, numbered by the time Amplitude computed it.
with

source as (

    select * from {{ source('raw', 'amplitude_cohort_snapshots') }}

),

renamed as (

    select
        -- keys
        snapshot_id,
        cohort_id,

        -- attributes
        cohort_name,
        cast(app_id as varchar) as app_id,
        declared_size,
        row_count,
        row_number() over (
            partition by cohort_id
            order by last_computed, load_id
        ) as snapshot_number,
        row_number() over (
            partition by cohort_id
            order by last_computed desc, load_id desc
        ) = 1 as is_newest,

        -- times
        last_computed as last_computed_at,

        -- lineage
        source_file,
        sha256,
        load_id,
        loaded_at
    from source

)

select * from renamed
