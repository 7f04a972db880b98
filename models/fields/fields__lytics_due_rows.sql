-- One row per row of Lytics' stream amplitude_events that was never delivered and is not in doubt.
with

event_imports as (

    select * from {{ ref('fields__lytics_event_imports') }}

),

run as (

    select * from {{ ref('stg_relay__run') }}

),

event_rows as (

    select
        'event' as key_type,
        event_key,
        load_id,
        server_upload_time
    from {{ ref('fields__lytics_event_rows') }}

),

stitch_rows as (

    select
        'stitch' as key_type,
        event_key
    from {{ ref('fields__lytics_stitch_rows') }}

),

-- Counts add up in Lytics: what was delivered, or may have been, is never sent again.
decided as (

    select distinct
        row_outcomes.sync_name,
        try_cast(row_outcomes.match_key as uuid) as event_key
    from {{ ref('ledger__row_outcomes') }} as row_outcomes
    cross join run
    where
        row_outcomes.sync_kind = 'event_import'
        and (
            row_outcomes.outcome in ('delivered', 'unknown')
            or (row_outcomes.outcome = 'rejected' and not run.retries_rejected)
        )

),

all_rows as (

    select
        event_imports.sync_name,
        event_rows.key_type,
        event_rows.event_key,
        event_rows.load_id
    from event_rows
    inner join event_imports
        on event_rows.server_upload_time >= event_imports.starts_at
    union all
    select
        event_imports.sync_name,
        stitch_rows.key_type,
        stitch_rows.event_key,
        null as load_id
    from stitch_rows
    cross join event_imports

)

select all_rows.*
from all_rows
anti join decided
    on
        all_rows.sync_name = decided.sync_name
        and all_rows.event_key = decided.event_key
