-- One row per line of the ledger: what was sent, answered or decided, in the order of `seq`.
with

source as (

    select * from {{ source('raw', 'ledger_lines') }}

),

renamed as (

    select
        -- keys
        seq,
        plan_id,
        sync_name,
        request,
        attempt,

        -- attributes
        kind,
        http_status,
        outcome,
        rejected,
        coalesce(unknown, []) as unknown_positions,
        json_extract_string(detail, '$.decision') as decision,
        coalesce(
            try_cast(json_extract(detail, '$.pending') as bigint[]), cast([] as bigint[])
        ) as pending_positions,
        detail,

        -- times
        source.at as written_at
    from source

)

select * from renamed
