-- One row per row of either stream and value it gives a profile: the mapping, applied by joining.
-- Of an event's own columns only what is not taken as it is, see fields__lytics_newest_rows.
{{ config(materialized='view') }}

with

stream_rows as (

    select * from {{ ref('fields__lytics_stream_rows') }}

),

stream_fields as (

    select * from {{ ref('fields__lytics_stream_fields') }}

),

mappings as (

    select
        * rename (stream as mapped_stream),
        {{ lytics_lookup('coalesce(name_prefix, source_field)') }} as lookup
    from {{ ref('fields__lytics_mappings') }}
    where is_applied and problem is null

),

of_fields as (

    select
        stream_fields.stream,
        stream_fields.fragment_id,
        stream_fields.order_key,
        stream_fields.load_id,
        mappings.*,
        if(
            mappings.function_name = 'match',
            substr(stream_fields.field, length(mappings.name_prefix) + 1),
            stream_fields.value_text
        ) as map_key,
        stream_fields.value_text as source_text
    from stream_fields
    inner join mappings
        on
            stream_fields.stream = mappings.mapped_stream
            and {{ lytics_lookup('stream_fields.field') }} = mappings.lookup
    where
        mappings.function_name != 'map'
        and (not mappings.is_column or stream_fields.load_id is null)
        and (
            stream_fields.field = mappings.source_field
            or starts_with(stream_fields.field, mappings.name_prefix)
        )

),

-- A pair needs two fields of one row, so it is taken from the row as a whole.
of_pairs as (

    select
        stream_rows.stream,
        stream_rows.fragment_id,
        stream_rows.order_key,
        stream_rows.load_id,
        mappings.*,
        {{ lytics_field_of('mappings.source_field') }} as map_key,
        {{ lytics_field_of('mappings.value_field') }} as source_text
    from stream_rows
    inner join mappings
        on stream_rows.stream = mappings.mapped_stream
    where mappings.function_name = 'map'

),

applied as (

    select * from of_fields
    union all
    select * from of_pairs

),

valued as (

    select
        -- keys
        stream,
        fragment_id,
        target_field,
        if(is_map, map_key, null) as map_key,

        -- attributes
        if(
            value_type = 'intsum',
            null,
            {{ lytics_value('source_text', 'value_type', 'layout') }}
        ) as value_json,
        if(value_type = 'intsum', 1, null) as value_count,

        -- order
        order_key,
        load_id
    from applied
    where source_text != '' and (not is_map or map_key != '')

)

select * from valued
where value_json is not null or value_count is not null
