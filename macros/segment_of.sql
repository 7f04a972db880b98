{#- What a destination takes as one segment: CleverTap and MoEngage know it by its name, Lytics by the
    cohort's id (a new name is then no new segment).
-#}
{% macro segment_of(destination, cohort_id, cohort_name) -%}
    if({{ destination }} = 'lytics', {{ cohort_id }}, {{ cohort_name }})
{%- endmacro %}
