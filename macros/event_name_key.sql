{#- An event's name or code as it is compared: without case, white space and joining marks, so that the
    spellings of one vendor's pages (`A/B Experiment …`, `AB Experiment …`) are one. The loader of
    CleverTap's events builds its keys by the same rule (scripts/relay/load/clevertap_events.py).

    value: expression holding text.
-#}
{% macro event_name_key(value) -%}
    regexp_replace(lower({{ value }}), '[\s_./-]+', '', 'g')
{%- endmacro %}
