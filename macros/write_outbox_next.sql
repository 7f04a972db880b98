{#- Leaves the model just built in outbox/next/ as `<model>.csv` or `<model>.ndjson`, ordered, right with
    no rows too. `--empty` builds leave the files alone: they would hold a lie.

    file_format: `csv` (with a header) or `ndjson` (one object a line).
-#}
{% macro write_outbox_next(file_format) -%}
    {%- if execute and not flags.EMPTY -%}
    copy (
        select * from {{ this }} order by all
    ) to '{{ env_var("RELAY_HOME", ".") }}/outbox/next/{{ this.identifier }}.{{ file_format }}'
    {%- if file_format == 'csv' %} (format csv, header true)
    {%- else %} (format json)
    {%- endif -%}
    {%- endif -%}
{%- endmacro %}
