-- One row per enabled event import into Lytics: the time its stream begins at.
with

imports as (

    select * from {{ ref('stg_relay__syncs') }}
    where kind = 'event_import' and is_enabled

),

run as (

    select * from {{ ref('stg_relay__run') }}

),

plans as (

    select
        sync_name,
        created_at as ran_at
    from {{ ref('stg_ledger__plan_syncs') }}
    where has_rows

),

lines as (

    select
        sync_name,
        written_at as ran_at
    from {{ ref('stg_ledger__lines') }}
    where kind in ('checked', 'sending', 'confirmed', 'adopted')

),

first_runs as (

    select
        sync_name,
        min(ran_at) as first_run_at
    from (
        select * from plans
        union all
        select * from lines
    ) as runs
    group by sync_name

),

mappings as (

    select
        string_agg(
            format('{} {} {}', source_expression, target_field, target_type), chr(10)
            order by target_field, source_expression
        ) as mapping_text
    from {{ ref('fields__lytics_mappings') }}
    where stream = 'amplitude_events' and is_applied

),

joined as (

    select
        imports.sync_name,
        coalesce(first_runs.first_run_at, run.planned_at) as first_run_at,
        cast(imports.config ->> '$.backfill_days' as integer) as backfill_days,
        mappings.mapping_text
    from imports
    cross join run
    cross join mappings
    left join first_runs
        on imports.sync_name = first_runs.sync_name

),

timed as (

    select
        *,
        -- Lytics, Backfill Days: 0 starts from now on. By whole days, so that it stays put for one.
        if(
            backfill_days = 0,
            first_run_at,
            date_trunc('day', first_run_at) - to_days(backfill_days)
        ) as starts_at
    from joined

)

select
    sync_name,
    first_run_at,
    starts_at,
    -- What a table folded from the stream holds for: it is folded anew when this moves.
    {{ hash_of(['sync_name', 'starts_at', 'mapping_text']) }} as scope
from timed
