{#- Hook of an incremental model: keeps the newest load that its table has seen in the variable `newest_load`
    of the connection, 0 where all of them are to come. A literal would have to be asked for while
    compiling; a subquery would not be pushed down to the scan.

    relation: the table being built.
-#}
{% macro remember_newest_load(relation) -%}
    set variable newest_load = (
        {%- if is_incremental() -%}
        select coalesce(max(load_id), 0) from {{ relation }}
        {%- else -%}
        0
        {%- endif -%}
    )
{%- endmacro %}
