-- One row per row of either stream and field in it: the long form that the mapping is joined to.
{{ config(materialized='view') }}

with

event_imports as (

    select * from {{ ref('fields__lytics_event_imports') }}

),

-- The unique ids stand beside the columns, and are fields like any other.
event_rows as (

    select
        'amplitude_events' as stream,
        cast(event_rows.event_key as varchar) as row_id,
        event_rows.fragment_id,
        event_rows.amplitude_id,
        event_rows.user_id,
        event_rows.stream_columns,
        event_rows.order_key,
        event_rows.load_id
    from {{ ref('fields__lytics_event_rows') }} as event_rows
    inner join event_imports
        on event_rows.uploaded_at >= event_imports.starts_at

),

cohort_rows as (

    select
        'amplitude_cohorts' as stream,
        row_id,
        fragment_id,
        amplitude_id,
        user_id,
        stream_columns,
        order_key,
        cast(null as bigint) as load_id
    from {{ ref('fields__lytics_cohort_rows') }}

),

stitch_rows as (

    select
        'amplitude_events' as stream,
        cast(event_key as varchar) as row_id,
        fragment_id,
        amplitude_id,
        user_id,
        stream_columns,
        order_key,
        cast(null as bigint) as load_id
    from {{ ref('fields__lytics_stitch_rows') }}

),

stream_rows as (

    select * from event_rows
    union all
    select * from cohort_rows
    union all
    select * from stitch_rows

),

taken_apart as (

    select
        *,
        unnest(map_entries(cast(stream_columns as map (varchar, json)))) as entry
    from stream_rows

)

select
    * exclude (entry),
    entry.key as field,
    entry.value ->> '$' as value_text
from taken_apart
union all
select
    *,
    'amplitude_id' as field,
    amplitude_id as value_text
from stream_rows
where amplitude_id is not null
union all
select
    *,
    'user_id' as field,
    user_id as value_text
from stream_rows
where user_id is not null
