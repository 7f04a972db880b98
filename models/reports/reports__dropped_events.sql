-- One row per export and event it selects but cannot send: the reason, and where the event stands.
with

-- What the event itself decides.
unusable as (

    select
        sync_name,
        source,
        event_id,
        event_type,
        drop_reason,
        notes,
        event_at,
        source_file
    from {{ ref('events__export_events') }}
    where drop_reason is not null

),

-- What who is who decides.
unaddressed as (

    select
        sync_name,
        source,
        event_id,
        event_type,
        drop_reason,
        notes,
        event_at,
        source_file
    from {{ ref('events__addressed') }}
    where drop_reason is not null

),

-- What its record would be.
unsendable as (

    select
        sync_name,
        source,
        event_id,
        event_type,
        drop_reason,
        notes,
        event_at,
        source_file
    from {{ ref('events__rendered') }}
    where drop_reason is not null

)

select * from unusable
union all
select * from unaddressed
union all
select * from unsendable
