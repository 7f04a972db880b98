{#-
  A table that takes in what is new by the model's strategy, or is made anew where it is not there yet or
  `--full-refresh` asks for it. See `table`; what dbt-duckdb does besides (widening columns, indexes,
  grants, foreign keys) nothing here has. Columns go by their names: a new one that the table lacks is an
  error of DuckDB's, and nothing has to be asked before.
-#}
{% materialization incremental, adapter='duckdb' %}

  {%- set existing = load_cached_relation(this) -%}
  {%- set target = this.incorporate(type='table') -%}
  {%- set is_anew = existing is none or existing.is_view or should_full_refresh() -%}

  {{ run_hooks(pre_hooks, inside_transaction=False) }}
  {{ run_hooks(pre_hooks, inside_transaction=True) }}

  {%- set new_rows = target if is_anew else make_temp_relation(target) -%}
  {% call statement('main') -%}
    {%- if is_anew -%}
      {{ replace_table(existing, target, compiled_code) }}
    {%- else -%}
      {{ adapter.get_incremental_strategy_macro(context, config.get('incremental_strategy'))({
          'target_relation': target,
          'temp_relation': new_rows,
          'unique_key': config.get('unique_key'),
          'query': compiled_code,
      }) }}
    {%- endif -%}
  {%- endcall %}
  {%- do hold_contract(new_rows) %}

  {{ run_hooks(post_hooks, inside_transaction=True) }}
  {{ adapter.commit() }}
  {{ run_hooks(post_hooks, inside_transaction=False) }}

  {{ return({'relations': [target]}) }}

{% endmaterialization %}
