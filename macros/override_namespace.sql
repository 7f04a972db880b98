{#- The namespace of an override's identifier: `default` where `{…}` is left out.

    part: expression holding a struct of text: type, namespace, value.
-#}
{% macro override_namespace(part) -%}
    coalesce(nullif({{ part }}['namespace'], ''), 'default')
{%- endmacro %}
