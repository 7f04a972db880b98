{#- 128 bits that stand for what one row of a stream says of who it is about: a project and two ids.
    Rows of one fragment always belong to one profile, whatever identity finds later.
-#}
{% macro lytics_fragment_id(project, amplitude_id, user_id) -%}
    cast({{ hash_of([project, amplitude_id, user_id]) }} as uuid)
{%- endmacro %}
