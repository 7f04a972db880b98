{#- Empties an incremental table that was folded from ledger files which are gone or shorter now
    (see scripts/relay/ledger_tables.py), so that the fold begins anew.

    relation: the table; nothing happens where it is not there yet.
-#}
{% macro forget_other_generations(relation) -%}
    {%- if is_incremental() -%}
    delete from {{ relation }}
    where generation != (select generation from {{ source('raw', 'ledger_generation') }})
    {%- else -%}
    select 1
    {%- endif -%}
{%- endmacro %}
