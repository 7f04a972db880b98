{#- What makes an event one, however often a client sends it: a hash of project, device and insert id; where one
    of them is missing, of its uuid.

    project, device_id, insert_id, uuid: expressions; the first three text, cleaned.
-#}
{% macro event_key(project, device_id, insert_id, uuid) -%}
    cast(
        if(
            {{ device_id }} is null or {{ insert_id }} is null,
            {{ hash_of([uuid]) }},
            {{ hash_of([project, device_id, insert_id]) }}
        ) as uuid
    )
{%- endmacro %}
