{#- Whether properties may hold a property of that name: true whenever they do. Looking for the name is
    many times cheaper than reading the JSON; a name that JSON may write in several ways is always read.

    properties: expression holding a JSON object.
    property:   expression holding the name.
-#}
{% macro may_have_property(properties, property) -%}
    (
        contains(cast({{ properties }} as varchar), {{ property }})
        or not regexp_full_match({{ property }}, '[ -!#-.0-\[\]-~]+')
    )
{%- endmacro %}
