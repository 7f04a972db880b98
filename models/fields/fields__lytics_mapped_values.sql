-- One row per row of either stream and value it gives a profile: the mapping, applied by joining.
{{ config(materialized='view') }}

with

stream_fields as (

    select * from {{ ref('fields__lytics_stream_fields') }}

),

mappings as (

    select * rename (stream as mapped_stream)
    from {{ ref('fields__lytics_mappings') }}
    where is_applied and problem is null

),

joined as (

    select
        stream_fields.*,
        mappings.*
    from stream_fields
    inner join mappings
        on
            stream_fields.stream = mappings.mapped_stream
            and stream_fields.field = mappings.source_field
    union all
    select
        stream_fields.*,
        mappings.*
    from stream_fields
    inner join mappings
        on
            stream_fields.stream = mappings.mapped_stream
            and starts_with(stream_fields.field, mappings.name_prefix)

),

applied as (

    select
        *,
        case function_name
            when 'map' then value_text
            when 'valuect' then value_text
            when 'match' then substr(field, length(name_prefix) + 1)
        end as map_key,
        case
            when function_name != 'map' then value_text
            -- The second field of a pair is looked up in the row that the first one stands in.
            when value_field = 'amplitude_id' then amplitude_id
            when value_field = 'user_id' then user_id
            else json_extract_string(
                stream_columns, '/' || replace(replace(value_field, '~', '~0'), '/', '~1')
            )
        end as source_text
    from joined

),

dated as (

    select
        *,
        case
            when value_type != 'date' then null
            when layout is null then {{ date_of_text('source_text') }}
            else {{ date_of_layout('source_text', 'layout') }}
        end as source_date
    from applied
    where not is_map or map_key != ''

),

valued as (

    select
        -- keys
        stream,
        row_id,
        fragment_id,
        target_field,
        map_key,

        -- attributes
        source_field,
        is_map,
        if(
            value_type = 'intsum',
            null,
            {{ lytics_value('source_text', 'value_type', 'source_date') }}
        ) as value_json,
        if(value_type = 'intsum', 1, null) as value_count,

        -- order
        order_key,
        load_id
    from dated

)

select * from valued
where value_json is not null or value_count is not null
