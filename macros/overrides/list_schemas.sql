{#- The schemas that are there. dbt-duckdb looks for those of a database with quotation marks around its
    name, finds none, and so makes each schema anew at every start.
-#}
{% macro duckdb__list_schemas(database) -%}
    {{ return(run_query(
        "select schema_name from duckdb_schemas()"
        ~ " where database_name = '" ~ database | replace('"', '') ~ "'"
    )) }}
{%- endmacro %}
