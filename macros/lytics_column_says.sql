{#- Whether a column of an event has a value that a mapping of its own kind takes; an empty text is null there.

    column: expression holding the value.
    kind:   what `lytics_event_columns` says of it.
-#}
{% macro lytics_column_says(column, kind) -%}
    {%- if kind == 'number' -%}
        isfinite({{ column }})
    {%- elif kind == 'time' -%}
        {#- Its year has four digits, or no layout reads it. -#}
        year({{ column }}) between 1000 and 9999
    {%- else -%}
        {{ column }} is not null
    {%- endif -%}
{%- endmacro %}
