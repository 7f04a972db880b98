{#- The materialization `table_function`: the model's query as a table macro of DuckDB, for a question whose
    answer depends on what is asked. It is called like `from identity.path('…', '…')`, and reads the tables
    as they are then.

    The model's config has in `meta` its `parameters`, names that stand in the query for what is given.
-#}
{% materialization table_function, adapter='duckdb' %}
    {%- set parameters = config.require('meta')['parameters'] | join(', ') -%}

    {{ run_hooks(pre_hooks) }}

    {% call statement('main') -%}
        create or replace macro {{ this.schema }}.{{ this.identifier }}({{ parameters }}) as table (
            {{ sql }}
        )
    {%- endcall %}

    {{ run_hooks(post_hooks) }}
    {{ adapter.commit() }}
    {{ return({'relations': []}) }}
{% endmaterialization %}
