{#- An amplitude id as a person wrote it, without leading zeros and `.0`: `00812` and `812.0` are
    `812`.

    value: expression holding text; what is no such number gives ''.
-#}
{% macro canonical_amplitude_id(value) -%}
    regexp_extract({{ value }}, '^\s*0*([0-9]+)([.]0+)?\s*$', 1)
{%- endmacro %}
