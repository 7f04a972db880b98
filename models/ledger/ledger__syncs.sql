-- One row per sync that was ever planned, paused or resumed: how the ledger leaves it.
with

lines as (

    select * from {{ ref('stg_ledger__lines') }}
    where sync_name is not null

),

plan_syncs as (

    select * from {{ ref('stg_ledger__plan_syncs') }}

),

last_lines as (

    select
        sync_name,
        max(seq) as ledger_seq,
        coalesce(
            arg_max(kind, seq) filter (where kind in ('paused', 'resumed')) = 'paused', false
        ) as is_paused,
        max(written_at) filter (where kind in ('sending', 'confirmed', 'adopted')) as last_sent_at,
        arg_max(plan_id, seq) filter (where kind in ('sending', 'confirmed', 'adopted'))
            as last_sent_plan_id
    from lines
    group by sync_name

),

planned as (

    select
        sync_name,
        max(created_at) as last_planned_at,
        arg_max(plan_id, (created_at, plan_id)) as last_plan_id,
        max(ledger_seq) as planned_from_seq
    from plan_syncs
    group by sync_name

),

-- To try a destination with a few is no run: what waits behind them is as due as it was.
last_runs as (

    select
        lines.sync_name,
        max(lines.written_at) as last_run_at,
        nullif(arg_max(coalesce(lines.plan_id, ''), lines.seq), '') as last_run_plan_id
    from lines
    left join plan_syncs
        on lines.plan_id = plan_syncs.plan_id and lines.sync_name = plan_syncs.sync_name
    where
        lines.kind in ('sending', 'confirmed', 'adopted', 'checked')
        and coalesce(plan_syncs.plan_kind, 'sync') != 'trial'
    group by lines.sync_name

),

names as (

    select distinct sync_name from last_lines
    union distinct
    select distinct sync_name from planned

),

last_sent as (

    select
        last_lines.sync_name,
        plan_syncs.cohort_name,
        plan_syncs.destination,
        plan_syncs.created_at
    from last_lines
    inner join plan_syncs
        on
            last_lines.last_sent_plan_id = plan_syncs.plan_id
            and last_lines.sync_name = plan_syncs.sync_name

),

-- Sent or adopted although a ledger was known to be lost: what that told is given up.
amended as (

    select
        lines.sync_name,
        -- An adopted segment to which nothing had to be added has no plan.
        max(coalesce(plan_syncs.created_at, lines.written_at)) as amended_at
    from lines
    left join plan_syncs
        on lines.plan_id = plan_syncs.plan_id and lines.sync_name = plan_syncs.sync_name
    where
        lines.kind = 'adopted'
        or (
            lines.kind in ('sending', 'confirmed')
            and starts_with(plan_syncs.reason, 'ledger_missing')
        )
    group by lines.sync_name

),

-- Without its ledger file a plan tells nothing of what it delivered; and a plan made from a later
-- line than there is now knew lines that are gone.
missing as (

    select distinct plan_syncs.sync_name
    from plan_syncs
    left join last_lines
        on plan_syncs.sync_name = last_lines.sync_name
    left join amended
        on plan_syncs.sync_name = amended.sync_name
    where
        (
            (plan_syncs.has_rows and not plan_syncs.has_ledger)
            or plan_syncs.ledger_seq > coalesce(last_lines.ledger_seq, 0)
        )
        and plan_syncs.created_at > coalesce(amended.amended_at, timestamp '-infinity')

)

select
    names.sync_name,
    coalesce(last_lines.ledger_seq, 0) as ledger_seq,
    coalesce(last_lines.is_paused, false) as is_paused,
    missing.sync_name is not null as is_ledger_missing,
    last_sent.cohort_name as sent_cohort_name,
    last_sent.destination as sent_destination,
    planned.last_plan_id,
    last_lines.last_sent_plan_id,
    last_runs.last_run_plan_id,
    planned.last_planned_at,
    last_lines.last_sent_at,
    -- A look that found nothing to send is a run too.
    last_runs.last_run_at
from names
left join last_lines
    on names.sync_name = last_lines.sync_name
left join last_runs
    on names.sync_name = last_runs.sync_name
left join planned
    on names.sync_name = planned.sync_name
left join last_sent
    on names.sync_name = last_sent.sync_name
left join missing
    on names.sync_name = missing.sync_name
