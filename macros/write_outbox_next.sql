{#- Leaves the model just built in outbox/next/ as `<model>.csv` (with a header) and `<model>.ndjson` (one
    object a line), ordered, right with no rows too. `--empty` builds leave the files alone: they would
    hold a lie.
-#}
{% macro write_outbox_next() -%}
    {%- if execute and not flags.EMPTY -%}
    {%- set path = env_var("RELAY_HOME", ".") ~ '/outbox/next/' ~ this.identifier -%}
    {%- for suffix, format in {'csv': 'csv, header true', 'ndjson': 'json'}.items() %}
    copy (
        select * from {{ this }} order by all
    ) to '{{ path }}.{{ suffix }}' (format {{ format }});
    {%- endfor %}
    {%- endif -%}
{%- endmacro %}
