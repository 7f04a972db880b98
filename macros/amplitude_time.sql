{#- A UTC timestamp written as Amplitude's export writes it: blank, six digits of a fraction, no zone.
    Lytics' layout `2006-01-02 15:04:05.000000` reads just this.
-#}
{% macro amplitude_time(value) -%}
    strftime({{ value }}, '%Y-%m-%d %H:%M:%S.%f')
{%- endmacro %}
