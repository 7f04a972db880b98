{#- Hook of an incremental model: empties its table where it was built for another scope (an event import
    that begins at another time, another mapping), so that all is taken in anew.

    relation: the table being built.
-#}
{% macro forget_other_scopes(relation) -%}
    {%- if is_incremental() -%}
    delete from {{ relation }}
    where scope not in (select scope from {{ ref('fields__lytics_event_imports') }})
    {%- else -%}
    select 1
    {%- endif -%}
{%- endmacro %}
