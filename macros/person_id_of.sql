{#- The id of the person that an anchor names (ID-12).

    anchor_key: expression holding the anchor's `identifier_key`.
-#}
{% macro person_id_of(anchor_key) -%}
    'p_' || replace(cast({{ anchor_key }} as varchar), '-', '')
{%- endmacro %}
