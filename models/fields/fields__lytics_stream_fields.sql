-- One row per row of either stream and field in it: the long form that the mapping is joined to.
{{ config(materialized='view') }}

with

stream_rows as (

    select * from {{ ref('fields__lytics_stream_rows') }}

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
    from stream_rows

)

select
    * exclude (entry),
    entry['key'] as field,
    entry['value'] as value_text
from taken_apart
