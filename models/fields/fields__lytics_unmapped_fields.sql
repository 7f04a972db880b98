-- One row per field that rows of a stream hold and no mapping takes, nor is left out on purpose.
-- A view: it reads every row of the streams when it is asked, and not before.
{{ config(materialized='view') }}

with

stream_rows as (

    select * from {{ ref('fields__lytics_stream_rows') }}

),

mappings as (

    select
        *,
        {{ lytics_lookup('coalesce(name_prefix, source_field)') }} as lookup
    from {{ ref('fields__lytics_mappings') }}

),

gaps as (

    select * from {{ ref('mapping_gaps') }}
    where mapping = 'lytics_field_map'

),

named as (

    select
        stream,
        unnest(json_keys(stream_columns)) as field
    from stream_rows

),

counted as (

    select
        stream,
        field,
        {{ lytics_lookup('field') }} as lookup,
        count(*) as rows_count
    from named
    group by stream, field

)

select
    counted.stream,
    counted.field,
    counted.rows_count
from counted
anti join mappings
    on
        counted.stream = mappings.stream
        and counted.lookup = mappings.lookup
        and (
            counted.field = mappings.source_field
            or starts_with(counted.field, mappings.name_prefix)
        )
anti join mappings as pairs
    on
        counted.stream = pairs.stream
        and counted.field = pairs.value_field
anti join gaps
    on
        counted.stream = gaps.stream
        and split_part(counted.field, '.', 1) = gaps.source_field
