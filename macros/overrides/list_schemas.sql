{#- The schemas that are there. dbt-duckdb looks for those of a database with quotation marks around its
    name, finds none, and so has each one made, if it is not there, at every start.
-#}
{% macro duckdb__list_schemas(database) -%}
    {{ return(run_query(
        "select schema_name from duckdb_schemas()"
        ~ " where database_name = '" ~ database | replace('"', '') ~ "'"
    )) }}
{%- endmacro %}
