{#-
  A table that takes in what is new by the model's strategy, or is made anew where it is not there yet or
  `--full-refresh` asks for it. See `table`; what dbt-duckdb does besides (widening columns, indexes,
  grants, foreign keys) nothing here has.
-#}
{% materialization incremental, adapter='duckdb' %}

  {%- set existing = load_cached_relation(this) -%}
  {%- set target = this.incorporate(type='table') -%}
  {%- set is_anew = existing is none or existing.is_view or should_full_refresh() -%}

  {{ run_hooks(pre_hooks, inside_transaction=False) }}
  {{ run_hooks(pre_hooks, inside_transaction=True) }}

  {% if is_anew -%}
    {%- call statement('main') -%}
      {{ replace_table(existing, target, compiled_code) }}
    {%- endcall -%}
  {%- else -%}
    {%- set temporary = make_temp_relation(target) -%}
    {%- call statement('temporary') -%}
      create temp table {{ temporary }} as (
        {{ compiled_code }}
      )
    {%- endcall -%}
    {%- set columns = process_schema_changes(config.get('on_schema_change'), temporary, existing)
        or adapter.get_columns_in_relation(existing) -%}
    {%- set strategy = adapter.get_incremental_strategy_macro(context, config.get('incremental_strategy')) -%}
    {%- call statement('main') -%}
      {{ strategy({
          'target_relation': target,
          'temp_relation': temporary,
          'unique_key': config.get('unique_key'),
          'dest_columns': columns,
          'incremental_predicates': none,
      }) }}
    {%- endcall -%}
  {%- endif %}
  {%- do hold_contract(target) %}

  {{ run_hooks(post_hooks, inside_transaction=True) }}
  {{ adapter.commit() }}
  {{ run_hooks(post_hooks, inside_transaction=False) }}

  {{ return({'relations': [target]}) }}

{% endmaterialization %}
