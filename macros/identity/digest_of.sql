{#- An aggregate: a digest of a set of rows, the same in any order.

    values: expression holding a struct or a value of each row.
-#}
{% macro digest_of(values) -%}
    sha256(coalesce(
        string_agg(cast(to_json({{ values }}) as varchar), ',' order by to_json({{ values }})), ''
    ))
{%- endmacro %}
