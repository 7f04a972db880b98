{#- A list of {field, nesting, json_value} with each object in it replaced by its members, which get its name before
    theirs, joined by a dot; one level of objects.

    members: expression holding the list.
-#}
{% macro lytics_unnested(members) -%}
    flatten(list_transform(
        {{ members }},
        lambda owner: if(
            starts_with(owner.json_value, '{'),
            list_transform(
                {{ json_entries('owner.json_value') }},
                lambda entry: {
                    'field': owner.field || '.' || entry.key,
                    'nesting': owner.nesting + 1,
                    'json_value': entry.value
                }
            ),
            [owner]
        )
    ))
{%- endmacro %}
