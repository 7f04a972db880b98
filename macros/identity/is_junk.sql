{#- Whether a value is a placeholder and names nobody (ID-4): the whole folded value is one of the junk
    values of its type, or matches one of the patterns. A missing value is no junk. The model has a CTE
    `junk_ids`, the rows of `stg_relay__junk_ids`.

    id_type: the type of the value, such as `user_id`; values of type `any` hold for it too.
    value:   expression holding cleaned text.
-#}
{% macro is_junk(id_type, value) -%}
    (
        {{ value }} is not null
        and (
            {{ fold_text(value) }} in (
                select pattern
                from junk_ids
                where "match" = 'exact' and id_type in ('any', '{{ id_type }}')
            )
            or exists (
                select 1
                from junk_ids
                where
                    "match" = 'regex'
                    and id_type in ('any', '{{ id_type }}')
                    and regexp_full_match({{ fold_text(value) }}, pattern)
            )
        )
    )
{%- endmacro %}
