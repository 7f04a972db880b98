{#- The value of a property as JSON, whatever characters its name has.

    properties: expression holding a JSON object.
    property:   expression holding the name.
-#}
{% macro json_property(properties, property) -%}
    json_extract(
        {{ properties }}, '/' || replace(replace({{ property }}, '~', '~0'), '/', '~1')
    )
{%- endmacro %}
