{#- Before a full refresh: the last complete build counts no more, so that one which is cut short is begun
    again from the beginning.
-#}
{% macro forget_progress() -%}
    {%- if flags.FULL_REFRESH and left_by_last_build('progress') -%}
    delete from identity.progress
    {%- else -%}
    select 1
    {%- endif -%}
{%- endmacro %}
