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

-- Sent or adopted although a ledger or a plan was known to be lost: what that told is given up.
amended as (

    select
        lines.sync_name,
        max(lines.seq) as amended_seq,
        -- An adopted segment to which nothing had to be added has no plan.
        max(coalesce(plan_syncs.created_at, lines.written_at)) as amended_at
    from lines
    left join plan_syncs
        on lines.plan_id = plan_syncs.plan_id and lines.sync_name = plan_syncs.sync_name
    where
        lines.kind = 'adopted'
        or (
            lines.kind in ('sending', 'confirmed')
            and (
                starts_with(plan_syncs.reason, 'ledger_missing')
                or starts_with(plan_syncs.reason, 'plan_missing')
            )
        )
    group by lines.sync_name

),

-- Without its ledger file a plan tells nothing of what it delivered; and a plan made from a later
-- line than there is now knew lines that are gone.
without_ledger as (

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

),

sent as (

    select
        sync_name,
        plan_id,
        max(seq) as last_seq
    from lines
    where plan_id is not null and kind in ('sending', 'confirmed', 'adopted')
    group by sync_name, plan_id

),

-- The other way round: of a plan whose folder is gone the ledger knows that it was sent, not what.
without_plan as (

    select
        sent.sync_name,
        max(sent.plan_id) as newest_plan_id,
        count(*) as plans_count
    from sent
    anti join plan_syncs
        on sent.plan_id = plan_syncs.plan_id and sent.sync_name = plan_syncs.sync_name
    left join amended
        on sent.sync_name = amended.sync_name
    where sent.last_seq > coalesce(amended.amended_seq, 0)
    group by sent.sync_name

)

select
    names.sync_name,
    coalesce(last_lines.ledger_seq, 0) as ledger_seq,
    coalesce(last_lines.is_paused, false) as is_paused,
    case
        when without_ledger.sync_name is not null
            then 'ledger_missing: plans were sealed whose ledger is gone; approve, or adopt'
        when without_plan.sync_name is not null
            then
                'plan_missing: outbox/' || without_plan.newest_plan_id
                || if(
                    without_plan.plans_count > 1,
                    ' and ' || (without_plan.plans_count - 1) || ' more are gone',
                    ' is gone'
                )
                || ', but something of it was sent; put it back, approve, or adopt'
    end as lost_reason,
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
left join without_ledger
    on names.sync_name = without_ledger.sync_name
left join without_plan
    on names.sync_name = without_plan.sync_name
