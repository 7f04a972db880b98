-- One row per line of a plan's request and position that any line of it names (null: all others): what it tells.
-- A line of `request` null, confirmed by hand or adopted, speaks for the whole sync.
with

lines as (

    select
        *,
        -- An answer follows its request at once; what follows a lost one is something else.
        kind = 'sending'
        and coalesce(
            lead(kind) over (
                partition by plan_id, sync_name, request
                order by seq
            ) = 'answered',
            false
        ) as is_answered,
        kind in ('confirmed', 'adopted')
        or coalesce(outcome = 'delivered', false)
        or coalesce(decision = 'delivered', false) as is_settling,
        coalesce(outcome = 'not_processed', false)
        or coalesce(decision = 'resend', false) as is_to_be_sent,
        list_filter(
            rejected, lambda one: struct_extract(one, 'position') is null  -- noqa: RF02
        )[1] as whole_rejection
    from {{ ref('stg_ledger__lines') }}
    where
        plan_id is not null
        and kind in ('sending', 'answered', 'confirmed', 'adopted', 'resolved')

),

refused as (

    select
        seq,
        unnest(rejected) as one
    from lines

),

named as (

    select
        seq,
        one.position as row_position,
        'refused' as mark,
        one.code,
        one.text
    from refused
    where one.position is not null
    union all by name
    select
        seq,
        unnest(unknown_positions) as row_position,
        'listed' as mark
    from lines
    union all by name
    select
        seq,
        unnest(pending_positions) as row_position,
        'pending' as mark
    from lines

),

marks as (

    select
        seq,
        row_position,
        bool_or(mark = 'refused') as is_refused,
        bool_or(mark = 'listed') as is_listed,
        bool_or(mark = 'pending') as is_pending,
        min(code) as code,
        min(text) as text
    from named
    group by seq, row_position

),

positions as (

    select
        lines.plan_id,
        lines.sync_name,
        lines.request,
        marks.row_position
    from lines
    inner join marks
        on lines.seq = marks.seq
    union distinct
    select
        plan_id,
        sync_name,
        request,
        null as row_position
    from lines

)

select
    -- keys
    lines.seq,
    lines.plan_id,
    lines.sync_name,
    lines.request,
    positions.row_position,

    -- attributes
    lines.kind,
    lines.decision,
    lines.is_answered,
    -- What a line refuses is refused, what it lists is open, the rest is delivered; one that settles
    -- nothing and lists nothing speaks of all rows.
    case
        when
            marks.is_refused
            or lines.outcome = 'rejected'
            or lines.whole_rejection is not null
            then 'rejected'
        when
            not coalesce(marks.is_listed, false)
            and (lines.is_settling or len(lines.unknown_positions) > 0)
            then 'delivered'
        when lines.is_to_be_sent or marks.is_pending then 'pending'
        else 'unknown'
    end as outcome,
    coalesce(marks.code, lines.whole_rejection.code) as rejection_code,
    coalesce(marks.text, lines.whole_rejection.text) as rejection_text,

    -- times
    lines.written_at
from lines
inner join positions
    on
        lines.plan_id = positions.plan_id
        and lines.sync_name = positions.sync_name
        and lines.request is not distinct from positions.request
left join marks
    on lines.seq = marks.seq and positions.row_position = marks.row_position
