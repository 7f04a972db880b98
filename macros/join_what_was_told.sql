{#- Joins what the ledger tells of a row of a plan, the closest first: `positions` tells of the row itself,
    `requests` of the others of its request, `whole_syncs` of all requests that nothing else is told of.

    rows: alias of the rows; the CTE `outcomes` holds rows of ledger__request_outcomes.
-#}
{% macro join_what_was_told(rows) -%}
    left join outcomes as positions
        on
            {{ rows }}.plan_id = positions.plan_id
            and {{ rows }}.sync_name = positions.sync_name
            and {{ rows }}.request = positions.request
            and {{ rows }}.row_position = positions.row_position
    left join outcomes as requests
        on
            {{ rows }}.plan_id = requests.plan_id
            and {{ rows }}.sync_name = requests.sync_name
            and {{ rows }}.request = requests.request
            and requests.row_position is null
    left join outcomes as whole_syncs
        on
            {{ rows }}.plan_id = whole_syncs.plan_id
            and {{ rows }}.sync_name = whole_syncs.sync_name
            and whole_syncs.request is null
            and whole_syncs.row_position is null
{%- endmacro %}
