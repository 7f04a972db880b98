{#- A query for the keys of a relation that is small beside the table they are looked for in:

        where amplitude_key in ({{ '{{' }} keys_of('touched', 'identifier_key') {{ '}}' }})

    Its condition is always true, and is there for the engine: of a list under a condition DuckDB makes a
    Bloom filter and hands it to the scan of the large table, which then reads the other columns only where
    a key may be. Without one, it reads all of each column that is asked for.

    relation: a CTE or table.
    key:      its column; null names nobody.
-#}
{% macro keys_of(relation, key) -%}
    select {{ key }} from {{ relation }} where hash({{ key }}) is not null
{%- endmacro %}
