{#- Whether the table an identity model left at an earlier build is there: what a model may read of the
    state before this build, without a `ref` (it would be a circle).

    name: the table in the schema `identity`.
-#}
{% macro left_by_last_build(name) -%}
    {%- if execute is not defined -%} {{ return(true) }} {%- endif -%}
    {%- if not execute or model.resource_type == 'unit_test' -%} {{ return(false) }} {%- endif -%}
    {{ return(load_relation(api.Relation.create(
        database=this.database, schema='identity', identifier=name
    )) is not none) }}
{%- endmacro %}
