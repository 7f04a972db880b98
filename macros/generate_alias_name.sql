{#- `identity__links` is the table `identity.links`: the room stands in the schema, not again in the name.
    Staging models keep their name, which begins with `stg_`. -#}
{% macro generate_alias_name(custom_alias_name=none, node=none) -%}
    {%- if custom_alias_name -%} {{ custom_alias_name | trim }}
    {%- elif '__' in node.name and not node.name.startswith('stg_') -%} {{ node.name.split('__', 1)[1] }}
    {%- else -%} {{ node.name }}
    {%- endif -%}
{%- endmacro %}
