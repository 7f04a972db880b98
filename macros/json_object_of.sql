{#- An aggregate: one JSON object of a group's rows, its keys in order, so that the same rows give the
    same bytes. One key twice in a group fails the run.

    key:   expression holding the key.
    value: expression holding a JSON value.
-#}
{% macro json_object_of(key, value) -%}
    to_json(map(list({{ key }} order by {{ key }}), list({{ value }} order by {{ key }})))
{%- endmacro %}
