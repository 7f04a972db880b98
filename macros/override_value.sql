{#- The value of an override's identifier as it is compared: cleaned; amplitude ids as plain digits.

    part: expression holding a struct of text: type, namespace, value.
-#}
{% macro override_value(part) -%}
    if(
        {{ part }}['type'] = 'amplitude_id',
        {{ canonical_amplitude_id(part ~ "['value']") }},
        {{ clean_text(part ~ "['value']") }}
    )
{%- endmacro %}
