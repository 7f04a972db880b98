{#- 128 bits that stand for an identifier in joins: the first 32 hex digits of its SHA-256, the very
    digits that make a person id of an anchor (ID-12). Half the size of the text and compared as a number.

    Arguments as in `identifier_text`; null gives null.
-#}
{% macro identifier_key(id_type, namespace, id_value) -%}
    {{ key_of_identifier(identifier_text(id_type, namespace, id_value)) }}
{%- endmacro %}
