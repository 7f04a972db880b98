{#- The JSON text that a column of an event gives a profile field of its own kind: what `lytics_value` makes of
    `lytics_column_text`, without going through text.

    column: expression holding the value.
    kind:   what `lytics_event_columns` says of it.
-#}
{% macro lytics_column_json(column, kind) -%}
    {%- if kind == 'time' -%}
        strftime({{ column }}, '"%Y-%m-%dT%H:%M:%S.%fZ"')
    {%- elif kind == 'text' -%}
        cast(to_json(cast({{ column }} as varchar)) as varchar)
    {%- else -%}
        cast(to_json({{ column }}) as varchar)
    {%- endif -%}
{%- endmacro %}
