{#- 128 bits that stand for a combination of values, missing ones among them: each value goes in with its
    length, so that no two combinations run together.

    values: expressions of any type that casts to text.
-#}
{% macro combination_key(values) -%}
    cast(md5(concat(
        {%- for value in values %}
        coalesce(length(cast({{ value }} as varchar)) || ':' || {{ value }}, '-')
        {{- ', ' if not loop.last }}
        {%- endfor %}
    )) as uuid)
{%- endmacro %}
