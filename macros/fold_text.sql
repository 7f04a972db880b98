{#- Text without the difference of upper and lower case: Unicode's simple lower-case mapping, one code
    point to one. Python's `lower()` and `casefold()` give other results (final sigma, U+0130, ß).

    value: expression holding text.
-#}
{% macro fold_text(value) -%}
    lower({{ value }})
{%- endmacro %}
