{#- A text of a stream's row as Lytics' declared kind reads it, as JSON text; null where it is no value of
    that kind (Lytics then leaves the field alone). An empty text is no value of any kind.

    value:      expression holding the text.
    value_type: expression holding string, int, number, bool or date.
    layout:     expression holding the layout that a date is written in, null for any.
-#}
{% macro lytics_value(value, value_type, layout) -%}
    case {{ value_type }}
        when 'string'
            then cast(to_json({{ value }}) as varchar)
        when 'int'
            then cast(if(
                regexp_full_match({{ value }}, '[+-]?[0-9]+'),
                try_cast({{ value }} as bigint),
                if(
                    try_cast({{ value }} as double) = trunc(try_cast({{ value }} as double)),
                    try_cast(try_cast({{ value }} as double) as bigint),
                    null
                )
            ) as varchar)
        when 'number'
            then if(
                isfinite(try_cast({{ value }} as double)),
                cast(to_json(try_cast({{ value }} as double)) as varchar),
                null
            )
        when 'bool'
            then case
                when regexp_full_match({{ value }}, '1|t|T|TRUE|true|True') then 'true'
                when regexp_full_match({{ value }}, '0|f|F|FALSE|false|False') then 'false'
            end
        when 'date'
            then strftime(
                case
                    when {{ layout }} is null then {{ date_of_text(value) }}
                    else {{ date_of_layout(value, layout) }}
                end,
                '"%Y-%m-%dT%H:%M:%S.%fZ"'
            )
    end
{%- endmacro %}
