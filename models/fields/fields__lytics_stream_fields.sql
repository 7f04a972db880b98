-- One row per row of either stream and field in it: the long form that the mapping is joined to.
-- Of an event only its properties, and the columns that a mapping takes otherwise than as they are:
-- for the others there is fields__lytics_newest_rows.
{{ config(materialized='view') }}

with

-- Rows of cohorts, and those that stitch.
written_rows as (

    select * from {{ ref('fields__lytics_stream_rows') }}
    where load_id is null

),

event_imports as (

    select * from {{ ref('fields__lytics_event_imports') }}

),

asked_columns as (

    select coalesce(list(distinct source_field), []) as column_names
    from {{ ref('fields__lytics_mappings') }}
    where
        stream = 'amplitude_events'
        and is_applied
        and problem is null
        and not is_column
        and function_name in ('field', 'todate', 'valuect')

),

-- The row's JSON must not go along with each of its fields. The unique ids are fields like others.
taken_apart as (

    select
        stream,
        fragment_id,
        order_key,
        load_id,
        unnest(
            list_concat(
                map_entries(cast(stream_columns as map (varchar, varchar))),
                [
                    { 'key': 'amplitude_id', 'value': amplitude_id },
                    { 'key': 'user_id', 'value': user_id }
                ]
            )
        ) as entry
    from written_rows

),

events_taken_apart as (

    select
        event_rows.fragment_id,
        event_rows.order_key,
        event_rows.load_id,
        unnest(list_concat(
            event_rows.properties,
            list_transform(
                asked_columns.column_names, lambda name: {{ lytics_entry_of_column('name') }}
            )
        )) as entry
    from {{ ref('fields__lytics_event_rows') }} as event_rows
    inner join event_imports
        on event_rows.server_upload_time >= event_imports.starts_at
    cross join asked_columns

)

select
    * exclude (entry),
    entry['key'] as field,
    entry['value'] as value_text
from taken_apart

union all

select
    'amplitude_events' as stream,
    * exclude (entry),
    entry['field'] as field,
    entry['value_text'] as value_text
from events_taken_apart
