-- One row per sealed plan and sync, as the manifest states it.
with

source as (

    select * from {{ source('raw', 'plan_syncs') }}

),

plans as (

    select * from {{ source('raw', 'plans') }}

),

renamed as (

    select
        -- keys
        source.plan_id,
        source.sync_name,

        -- attributes
        plans.plan_hash,
        plans.kind as plan_kind,
        plans.has_ledger,
        source.kind as sync_kind,
        source.destination,
        source.delivery,
        source.cohort_id,
        source.cohort_name,
        source.snapshot_id,
        source.ledger_seq,
        source.state,
        source.reason,
        source.changes_hash,
        source.has_rows,
        source.planned as planned_count,
        source.added as added_count,
        source.removed as removed_count,
        source.reasserted as reasserted_count,
        source.refreshed as refreshed_count,
        source.renamed as renamed_count,

        -- times
        plans.created_at
    from source
    inner join plans
        on source.plan_id = plans.plan_id

)

select * from renamed
