{#- The column of an event that has a name in Lytics' stream, as {field, value_text}.

    name: expression holding the name.
-#}
{% macro lytics_entry_of_column(name) -%}
    {
        'field': {{ name }},
        'value_text': case {{ name }}
            when 'amplitude_id' then event_rows.amplitude_id
            when 'user_id' then event_rows.user_id
            {%- for stream_name, column, kind in lytics_event_columns() %}
                when '{{ stream_name }}' then {{ lytics_column_text('event_rows.' ~ column, kind) }}
            {%- endfor %}
        end
    }
{%- endmacro %}
