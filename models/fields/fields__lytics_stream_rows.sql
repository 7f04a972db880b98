-- One row per row of either stream of Lytics, stitch rows among those of the events.
{{ config(materialized='view') }}

with

event_imports as (

    select * from {{ ref('fields__lytics_event_imports') }}

),

event_rows as (

    select
        'amplitude_events' as stream,
        event_rows.fragment_id,
        event_rows.amplitude_id,
        event_rows.user_id,
        {{ lytics_event_json() }} as stream_columns,
        event_rows.order_key,
        event_rows.load_id
    from {{ ref('fields__lytics_event_rows') }} as event_rows
    inner join event_imports
        on event_rows.server_upload_time >= event_imports.starts_at

),

stitch_rows as (

    select
        'amplitude_events' as stream,
        fragment_id,
        amplitude_id,
        user_id,
        stream_columns,
        order_key,
        cast(null as bigint) as load_id
    from {{ ref('fields__lytics_stitch_rows') }}

),

cohort_rows as (

    select
        'amplitude_cohorts' as stream,
        fragment_id,
        amplitude_id,
        user_id,
        stream_columns,
        order_key,
        cast(null as bigint) as load_id
    from {{ ref('fields__lytics_cohort_rows') }}

)

select * from event_rows
union all
select * from stitch_rows
union all
select * from cohort_rows
