{#- The incremental strategy `append`: the rows of the query come to the table's own. -#}
{% macro get_incremental_append_sql(arg_dict) -%}
    insert into {{ arg_dict['target_relation'] }} by name (
        {{ arg_dict['query'] }}
    )
{%- endmacro %}
