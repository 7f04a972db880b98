{#-
  A table, replaced within its transaction. DuckDB can do that; what dbt-duckdb does for every engine
  behind it (a second table, two renames, a drop after the commit) is eight statements a model. A
  contract is held against the table, before the commit, where that is a glance: asking the query
  would plan it once more.
-#}
{% materialization table, adapter='duckdb' %}

  {%- set existing = load_cached_relation(this) -%}
  {%- set target = this.incorporate(type='table') -%}

  {{ run_hooks(pre_hooks, inside_transaction=False) }}
  {{ run_hooks(pre_hooks, inside_transaction=True) }}

  {% call statement('main') -%}
    {% if existing is not none -%}
      drop {{ existing.type }} {{ existing }};
    {% endif -%}
    create table {{ target }} as (
      {{ compiled_code }}
    )
  {%- endcall %}
  {%- if config.get('contract').enforced -%}
    {%- do get_assert_columns_equivalent('select * from ' ~ target) -%}
  {%- endif %}

  {{ run_hooks(post_hooks, inside_transaction=True) }}
  {{ adapter.commit() }}
  {{ run_hooks(post_hooks, inside_transaction=False) }}

  {{ return({'relations': [target]}) }}

{% endmaterialization %}
