{#- 128 bits that stand for an identifier given in one piece, see `identifier_key`.

    identifier: expression holding what `identifier_text` gives, such as an anchor.
-#}
{% macro key_of_identifier(identifier) -%}
    cast(left(sha256({{ identifier }}), 32) as uuid)
{%- endmacro %}
