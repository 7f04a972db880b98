{#- 32 hex digits over the values in order; null and '' differ, and no two lists of values run together.

    values: expressions of any type that casts to text.
-#}
{% macro hash_of(values) -%}
    left(sha256(to_json([
        {%- for value in values %}cast({{ value }} as varchar){{ ', ' if not loop.last }}{% endfor -%}
    ])), 32)
{%- endmacro %}
