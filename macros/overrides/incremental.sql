{#-
  A table that takes in what is new by the model's strategy, or is made anew where it is not there yet or
  `--full-refresh` asks for it. See `table`; what dbt-duckdb does besides (widening columns, indexes,
  grants, foreign keys) nothing here has. Columns go by their names: where rows come into a table that lacks
  one of them, DuckDB says so, and nothing has to be asked before.
-#}
{% materialization incremental, adapter='duckdb' %}

  {%- set existing = load_cached_relation(this) -%}
  {%- set target = this.incorporate(type='table') -%}
  {%- set is_anew = existing is none or existing.is_view or should_full_refresh() -%}

  {{ run_hooks(pre_hooks, inside_transaction=False) }}
  {{ run_hooks(pre_hooks, inside_transaction=True) }}

  {%- set strategy = config.get('incremental_strategy') -%}
  {%- set temporary = make_temp_relation(target) -%}
  {% call statement('main') -%}
    {%- if is_anew -%}
      {{ replace_table(existing, target, compiled_code) }}
    {%- else -%}
      {{ adapter.get_incremental_strategy_macro(context, strategy)({
          'target_relation': target,
          'temp_relation': temporary,
          'unique_key': config.get('unique_key'),
          'query': compiled_code,
      }) }}
    {%- endif -%}
  {%- endcall %}
  {%- do hold_contract(temporary if strategy == 'supersede' and not is_anew else target) %}

  {{ run_hooks(post_hooks, inside_transaction=True) }}
  {{ adapter.commit() }}
  {{ run_hooks(post_hooks, inside_transaction=False) }}

  {{ return({'relations': [target]}) }}

{% endmaterialization %}
