{#- The columns of one row of fields__lytics_event_rows as a JSON object, the unique ids apart: first what the event
    fills by itself, then its properties in the order of their names.
-#}
{% macro lytics_event_json() -%}
    cast(
        concat(
            -- A merge patch leaves out what is null.
            left(
                cast(json_merge_patch('{}', to_json({
                    {%- for name, column, kind in lytics_event_columns() %}
                        '{{ name }}':
                        {%- if kind in ('text', 'time') %} {{ lytics_column_text('event_rows.' ~ column, kind) }}
                        {%- else %} event_rows.{{ column }}
                        {%- endif %}{{ ',' if not loop.last }}
                    {%- endfor %}
                })) as varchar),
                -1
            ),
            ',' || nullif(array_to_string(list_sort(list_transform(
                event_rows.properties,
                lambda member: to_json(member.field) || ':' || to_json(member.value_text)
            )), ','), ''),
            '}'
        ) as json
    )
{%- endmacro %}
