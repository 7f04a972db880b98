{#- A query for the keys of a relation that is small beside the table they are looked for in:

        where amplitude_key in ({{ '{{' }} keys_of('touched', 'identifier_key') {{ '}}' }})

    Its condition is always true, and is there for the engine: of a list under a condition DuckDB makes a
    Bloom filter and hands it to the scan of the large table, which then reads the other columns only where
    a key may be. Without one, it reads all of each column that is asked for.

    The filter is as large as the list is long, lets one row in some hundred pass that has none of the keys,
    and so has the other columns read nearly everywhere. Of a list with every key up to sixteen times
    it lets through one in some hundred thousand. With more rows in the list than the engine expects to find
    in the table there is no filter: so a key is there as often as a share of the table's rows allows.

    relation:     a CTE or table; read twice where `among_rows` is given.
    key:          its column; null names nobody.
    among_rows:   how many rows the table has, where that is at hand: an expression without a row to go by.
-#}
{% macro keys_of(relation, key, among_rows=none) -%}
    {%- if among_rows is none -%}
        select {{ key }} from {{ relation }} where hash({{ key }}) is not null
    {%- else -%}
        select repeated.{{ key }}
        from (
            select
                unnest(repeat([{{ key }}], (
                    select least(16, 1 + {{ among_rows }} // 16 // count(*)) from {{ relation }}
                ))) as {{ key }}
            from {{ relation }}
        ) as repeated
        where hash(repeated.{{ key }}) is not null
    {%- endif -%}
{%- endmacro %}
