{#- An aggregate: the value of the latest row. A row without a time comes last, the smaller name first
    among rows of one time.

    time:  expression holding a timestamp.
    name:  expression that tells rows of one time apart.
    value: expression holding the value; `name` determines it.
-#}
{% macro last_of(time, name, value) -%}
    min({
        'age': -epoch_us(coalesce({{ time }}, timestamp '0001-01-01')),
        'name': {{ name }},
        'value': {{ value }}
    })['value']
{%- endmacro %}
