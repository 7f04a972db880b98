{#- As `lytics_unnested`, again and again until no object is left. An object is no deeper than it has braces.
    The linter, whose parser does not know a lambda of two arguments, sees the list as it is.

    members: expression holding the list.
-#}
{% macro lytics_all_unnested(members) -%}
    {%- if execute is not defined -%}
        {{ members }}
    {%- else -%}
        list_reduce(
            list_resize(
                [{{ members }}],
                list_max(list_transform(
                    {{ members }},
                    lambda member: len(regexp_replace(member.json_value, '[^{]', '', 'g'))
                )) + 1
            ),
            lambda found, _: {{ lytics_unnested('found') }}
        )
    {%- endif -%}
{%- endmacro %}
