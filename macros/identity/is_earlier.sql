{#- Whether one row comes before another: by time, one without a time last, then by its key. False where
    the one is not there at all.

    time, row:             expressions of the one: a timestamp and the key of the row.
    other_time, other_row: those of the other.
-#}
{% macro is_earlier(time, row, other_time, other_row) -%}
    {{ row }} is not null
    and (coalesce({{ time }}, timestamp 'infinity'), {{ row }})
    < (coalesce({{ other_time }}, timestamp 'infinity'), {{ other_row }})
{%- endmacro %}
