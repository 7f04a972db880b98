-- One row per row of either stream and value it gives a profile: the mapping, applied by joining.
{{ config(materialized='view') }}

with

stream_fields as (

    select * from {{ ref('fields__lytics_stream_fields') }}

),

mappings as (

    select * from {{ ref('fields__lytics_mappings') }}
    where is_applied and problem is null

),

of_fields as (

    select
        stream_fields.*,
        mappings.* exclude (stream),
        if(mappings.is_map, stream_fields.value_text, null) as map_key,
        stream_fields.value_text as source_text
    from stream_fields
    inner join mappings
        on
            stream_fields.stream = mappings.stream
            and stream_fields.field = mappings.source_field
    where mappings.function_name in ('field', 'todate', 'valuect')

),

-- The second field of a pair is looked up in the row that the first one stands in.
of_pairs as (

    select
        stream_fields.*,
        mappings.* exclude (stream),
        stream_fields.value_text as map_key,
        case mappings.value_field
            when 'amplitude_id' then stream_fields.amplitude_id
            when 'user_id' then stream_fields.user_id
            else json_extract_string(
                stream_fields.stream_columns,
                '/' || replace(replace(mappings.value_field, '~', '~0'), '/', '~1')
            )
        end as source_text
    from stream_fields
    inner join mappings
        on
            stream_fields.stream = mappings.stream
            and stream_fields.field = mappings.source_field
    where mappings.function_name = 'map'

),

of_prefixes as (

    select
        stream_fields.*,
        mappings.* exclude (stream),
        substr(stream_fields.field, length(mappings.prefix) + 1) as map_key,
        stream_fields.value_text as source_text
    from stream_fields
    inner join mappings
        on
            stream_fields.stream = mappings.stream
            and starts_with(stream_fields.field, mappings.prefix)
    where mappings.function_name = 'match'

),

mapped as (

    select * from of_fields
    union all
    select * from of_pairs
    union all
    select * from of_prefixes

),

dated as (

    select
        *,
        case
            when value_type != 'date' then null
            when layout is null then {{ date_of_text('source_text') }}
            else {{ date_of_layout('source_text', 'layout') }}
        end as source_date
    from mapped

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
        if(value_type = 'intsum', null, {{ lytics_value('source_text', 'value_type', 'source_date') }})
            as value_json,
        if(value_type = 'intsum', 1, null) as value_count,

        -- order
        order_key,
        load_id
    from dated
    where not is_map or map_key != ''

)

select * from valued
where value_json is not null or value_count is not null
