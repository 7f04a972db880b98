-- One row per row of the seed lytics_field_map: its expression taken apart, what is wrong with it.
{%- set name = '(?:[A-Za-z_$][A-Za-z0-9_$.]*|`[^`]+`)' -%}
{%- set literal = '"[^"]*"' -%}
{%- set declared_types = {
    'text': 'string', 'integer': 'int', 'number': 'number', 'boolean': 'bool', 'time': 'date',
} %}

with

field_map as (

    select * from {{ ref('lytics_field_map') }}

),

settings as (

    select * from {{ ref('stg_relay__settings') }}

),

trimmed as (

    select
        field_map.* replace (trim(field_map.source_expression) as source_expression),
        field_map.is_active or settings.lytics_additional_fields as is_applied
    from field_map
    cross join settings

),

recognised as (

    select
        *,
        case
            when regexp_full_match(source_expression, '{{ name }}')
                then 'field'
            when regexp_full_match(source_expression, 'map\(\s*{{ name }}\s*,\s*{{ name }}\s*\)')
                then 'map'
            when
                regexp_full_match(
                    source_expression, 'todate\(\s*(?:{{ literal }}\s*,\s*)?{{ name }}\s*\)'
                )
                then 'todate'
            when regexp_full_match(source_expression, 'match\(\s*"[^"]+[.]"\s*\)')
                then 'match'
            when regexp_full_match(source_expression, 'valuect\(\s*{{ name }}\s*\)')
                then 'valuect'
        end as function_name
    from trimmed

),

with_arguments as (

    select
        *,
        regexp_extract_all(
            if(
                function_name = 'field',
                source_expression,
                regexp_extract(source_expression, '^[a-z]+\((.*)\)$', 1)
            ),
            '{{ literal }}|{{ name }}'
        ) as arguments
    from recognised

),

taken_apart as (

    select
        *,
        list_transform(
            list_filter(arguments, lambda argument: not starts_with(argument, '"')),
            lambda argument: trim(argument, '`')
        ) as source_fields,
        trim(
            list_filter(arguments, lambda argument: starts_with(argument, '"'))[1], '"'
        ) as literal_text,
        nullif(regexp_extract(target_type, '^map\[string\](.*)$', 1), '') as element_type,
        count(*) over (partition by stream, target_field) as rows_of_target,
        count(distinct target_type) over (partition by target_field) as types_of_target
    from with_arguments

)

select
    -- keys
    stream,
    position,
    target_field,

    -- the expression
    source_expression,
    function_name,
    source_fields[1] as source_field,
    source_fields[2] as value_field,
    if(function_name = 'match', literal_text, null) as name_prefix,
    if(function_name = 'todate', literal_text, null) as layout,

    -- the target
    target_type,
    coalesce(element_type, target_type) as value_type,
    element_type is not null as is_map,
    is_unique_id,
    is_applied,
    -- Whatever such a column of an event holds is a value of the declared type.
    coalesce(
        stream = 'amplitude_events'
        and function_name in ('field', 'todate')
        and (source_fields[1], target_type) in (
            ('amplitude_id', 'string'), ('user_id', 'string'),
            {%- for name, _, kind in lytics_event_columns() %}
                ('{{ name }}', '{{ declared_types[kind] }}'){{ ',' if not loop.last }}
            {%- endfor %}
        )
        and coalesce(literal_text, '2006-01-02 15:04:05.000000') = '2006-01-02 15:04:05.000000',
        false
    ) as is_column,
    {{ lytics_mapping_problem() }} as problem
from taken_apart
