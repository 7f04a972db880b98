{#- An aggregate: the value of the earliest row. A row without a time comes last, the smaller value
    first among rows of one time.

    time:  expression holding a timestamp.
    value: expression holding a value that orders.
-#}
{% macro first_of(time, value) -%}
    min({'time': coalesce({{ time }}, timestamp 'infinity'), 'value': {{ value }}})['value']
{%- endmacro %}
