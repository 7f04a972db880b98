{#- One JSON object of a list of [key, text], in the list's order; `{}` of an empty list or none.

    pairs: expression holding the list; its keys are distinct.
-#}
{% macro json_object_of_pairs(pairs) -%}
    cast(
        '{' || coalesce(
            array_to_string(
                list_transform(
                    {{ pairs }}, lambda pair: to_json(pair[1]) || ':' || to_json(pair[2])
                ),
                ','
            ),
            ''
        ) || '}' as json
    )
{%- endmacro %}
