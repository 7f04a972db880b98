{#- Hook of `events.export_queue`: keeps the newest load up to which every export has seen everything in the
    variable `seen_load` of the connection; 0 where one of them is yet to look. See `remember_newest_load`
    for why it is a variable.

    queue: the table being built.
-#}
{% macro remember_seen_load(queue) -%}
    set variable seen_load = (
        {%- if is_incremental() -%}
        select min(coalesce(marks.load_id, 0))
        from {{ ref('events__exports') }} as exports
        cross join {{ source('raw', 'ledger_generation') }} as ledger
        left join {{ queue }} as marks
            on
                exports.sync_name = marks.sync_name
                and exports.definition_hash = marks.definition_hash
                and ledger.generation = marks.generation
                and marks.event_id is null
        {%- else -%}
        0
        {%- endif -%}
    )
{%- endmacro %}
