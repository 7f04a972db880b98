{#- The text of one field of a row of fields__lytics_stream_rows.

    name: expression holding the field's name.
-#}
{% macro lytics_field_of(name) -%}
    case {{ name }}
        when 'amplitude_id' then stream_rows.amplitude_id
        when 'user_id' then stream_rows.user_id
        else json_extract_string(
            stream_rows.stream_columns, '/' || replace(replace({{ name }}, '~', '~0'), '/', '~1')
        )
    end
{%- endmacro %}
