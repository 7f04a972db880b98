{#- The guard's sentence with its numbers: `would remove 812 of 900, limit 30 %`. -#}
{% macro guard_reason(verb, changed, limit) -%}
    format(
        'would {{ verb }} {} of {}, limit {} %',
        {{ changed }}, confirmed_count, regexp_replace(cast({{ limit }} as varchar), '\.0$', '')
    )
{%- endmacro %}
