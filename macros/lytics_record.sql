{#- A row of a stream as the JSON text of one record: the unique ids that there are, then its columns.

    amplitude_id, user_id: expressions holding the ids, null for none.
    columns:               expression holding the other columns, a JSON object that is not empty.
-#}
{% macro lytics_record(amplitude_id, user_id, columns) -%}
    concat(
        '{',
        '"amplitude_id":' || to_json({{ amplitude_id }}) || ',',
        '"user_id":' || to_json({{ user_id }}) || ',',
        substr(cast({{ columns }} as varchar), 2)
    )
{%- endmacro %}
