{#- Whether the value of a user property is a placeholder: `is_junk` for a property, whose own junk values
    are those of the type that is called like it (`CleverTap_Identity`: `clevertap_identity`).

    property: expression holding the property's name.
    value:    expression holding cleaned text.
-#}
{% macro is_junk_property(property, value) -%}
    (
        {{ value }} is not null
        and exists (
            select 1
            from junk_ids
            where
                junk_ids.id_type in ('any', {{ fold_text(property) }})
                and if(
                    junk_ids."match" = 'exact',
                    {{ fold_text(value) }} = junk_ids.pattern,
                    regexp_full_match({{ fold_text(value) }}, junk_ids.pattern)
                )
        )
    )
{%- endmacro %}
