{#- A query for the keys of a relation that is small beside the table they are looked for in:

        where amplitude_key in ({{ '{{' }} keys_of('touched', 'identifier_key') {{ '}}' }})

    Its condition is always true, and is there for the engine: of a list under a condition DuckDB makes a
    Bloom filter and hands it to the scan of the large table, which then reads the other columns only where
    a key may be. Without one, it reads all of each column that is asked for.

    The filter is as large as the list is long, lets one row in some hundred pass that has none of the keys,
    and so has the other columns read nearly everywhere. Of a list with every key up to sixteen times
    it lets through one in some hundred thousand. But of a list with more rows than the engine expects of
    the table, by its own guess, there is no filter at all.

    relation:  a CTE or table; read twice where `expected` is given.
    key:       its column; null names nobody.
    expected:  fewer rows than the engine expects of the table: an expression. None: each key once.
-#}
{% macro keys_of(relation, key, expected=none) -%}
    {%- if expected is none -%}
        select {{ key }} from {{ relation }} where hash({{ key }}) is not null
    {%- else -%}
        select repeated.{{ key }}
        from (
            select
                unnest(repeat([{{ key }}], (
                    select least(16, greatest(1, {{ expected }} // count(*))) from {{ relation }}
                ))) as {{ key }}
            from {{ relation }}
        ) as repeated
        where hash(repeated.{{ key }}) is not null
    {%- endif -%}
{%- endmacro %}
