{#- The incremental strategy `replace_all`: the table takes the rows of the query, which may have read
    the table's former rows, and keeps none of its own. In dbt's transaction, so all or nothing.
-#}
{% macro get_incremental_replace_all_sql(arg_dict) -%}
    {%- set target = arg_dict['target_relation'] -%}
    {%- set next = make_intermediate_relation(target) -%}
    create or replace table {{ next }} as (
        {{ arg_dict['query'] }}
    );

    drop table {{ target }};

    alter table {{ next }} rename to {{ target.identifier }}
{%- endmacro %}
