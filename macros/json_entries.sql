{#- The members of a JSON object as a list of {key, value}; null for anything that is no object.
    A key that stands twice counts once, with its first value.

    document: expression holding JSON.
-#}
{% macro json_entries(document) -%}
    case
        when json_type({{ document }}) != 'OBJECT'
            then null
        when len(json_keys({{ document }})) = len(list_distinct(json_keys({{ document }})))
            then map_entries(cast({{ document }} as map(varchar, json)))
        else list_transform(
            list_distinct(json_keys({{ document }})),
            lambda key: {
                'key': key,
                'value': json_extract(
                    {{ document }}, '/' || replace(replace(key, '~', '~0'), '/', '~1')
                )
            }
        )
    end
{%- endmacro %}
