{#- A cohort's name as MoEngage takes it for a segment. It refuses a leading full stop and | * ? \ : < > = $ "
    (Cohort Sync API), Amplitude's help adds ( ) for this destination; they and control characters become
    hyphens. Spaces around it go, and no other blanks: a name may consist of one.

    name:        expression holding the cohort's name.
    name_format: expression holding what stands around it, with `{name}`: the setting cohort_name_format.
-#}
{% macro moengage_segment_name(name, name_format) -%}
    replace(
        {{ name_format }},
        '{name}',
        regexp_replace(
            regexp_replace(trim({{ name }}, ' '), '[|*?\\:<>=$"()\x00-\x1f\x7f]', '-', 'g'),
            '^[.]',
            '-'
        )
    )
{%- endmacro %}
