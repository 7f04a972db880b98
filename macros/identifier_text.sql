{#- An identifier in one piece, as anchors are hashed and stored: `amplitude_id:default:812`.

    id_type:   expression holding the type.
    namespace: expression holding the namespace.
    id_value:  expression holding the cleaned value, text or number; null gives null.
-#}
{% macro identifier_text(id_type, namespace, id_value) -%}
    {{ id_type }} || ':' || {{ namespace }} || ':' || {{ id_value }}
{%- endmacro %}
