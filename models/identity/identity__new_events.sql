-- One row per event that came since the last complete build, as evidence; none if all is anew.
{{ config(meta={'part': 'evidence'}) }}

with

event_rows as (

    select * from {{ ref('identity__event_rows') }}

)

select *
from event_rows
where
    {% if resolves_anew('evidence') %}
        false
    {% else %}
        -- By load, not by time: a late row is new too.
        load_id > (select scope.since_load_id from {{ ref('identity__scope') }} as scope)
    {% endif %}
