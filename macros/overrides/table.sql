{#-
  A table, replaced within its transaction. DuckDB can do that; what dbt-duckdb does for every engine
  behind it (a second table, two renames, a drop after the commit) is eight statements a model.
-#}
{% materialization table, adapter='duckdb' %}

  {%- set existing = load_cached_relation(this) -%}
  {%- set target = this.incorporate(type='table') -%}

  {{ run_hooks(pre_hooks, inside_transaction=False) }}
  {{ run_hooks(pre_hooks, inside_transaction=True) }}

  {% call statement('main') -%}
    {{ replace_table(existing, target, compiled_code) }}
  {%- endcall %}
  {%- do hold_contract(target) %}

  {{ run_hooks(post_hooks, inside_transaction=True) }}
  {{ adapter.commit() }}
  {{ run_hooks(post_hooks, inside_transaction=False) }}

  {{ return({'relations': [target]}) }}

{% endmaterialization %}


{#- Statements that make a table of a query, in place of what has its name. -#}
{% macro replace_table(existing, target, query) -%}
    {% if existing is not none -%}
        drop {{ existing.type }} {{ existing }};
    {% endif -%}
    create table {{ target }} as (
        {{ query }}
    )
{%- endmacro %}


{#-
  Holds the model's contract, if it has one, against the table just made, before the commit. That is a
  glance; dbt asks the query, which plans it once more.
-#}
{% macro hold_contract(target) -%}
    {%- if config.get('contract').enforced -%}
        {%- do get_assert_columns_equivalent('select * from ' ~ target) -%}
    {%- endif -%}
{%- endmacro %}
