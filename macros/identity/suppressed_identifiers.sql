{#- A query for the identifiers of all who are sent nowhere, in the form in which anchors are stored with
    what was sent: whoever holds an anchor today is meant, whatever person id was stored beside it.
-#}
{% macro suppressed_identifiers() -%}
    select
        {{ identifier_text(
            'identifiers.id_type', 'identifiers.namespace', 'identifiers.id_value'
        ) }} as identifier
    from {{ ref('identity__identifiers') }} as identifiers
    semi join {{ ref('identity__resolved_persons') }} as persons
        on identifiers.anchor_key = persons.anchor_key and persons.is_suppressed
{%- endmacro %}
