{#- What a field of a stream is looked up under: its name, or of a dotted name its first part with the dot, so
    that `match("event_properties.")` and the field `event_properties.genre` are found by one equality.

    name: expression holding the name of a field, or a prefix that ends in a dot.
-#}
{% macro lytics_lookup(name) -%}
    if(instr({{ name }}, '.') > 0, left({{ name }}, instr({{ name }}, '.')), {{ name }})
{%- endmacro %}
