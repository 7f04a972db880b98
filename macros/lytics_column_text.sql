{#- The text that a column of an event stands for in Lytics' stream; what `lytics_value` reads.

    column: expression holding the value.
    kind:   what `lytics_event_columns` says of it.
-#}
{% macro lytics_column_text(column, kind) -%}
    {%- if kind == 'time' -%}
        {{ amplitude_time(column) }}
    {%- elif kind == 'number' -%}
        cast(to_json({{ column }}) as varchar)
    {%- else -%}
        cast({{ column }} as varchar)
    {%- endif -%}
{%- endmacro %}
