-- One row per event that came since the last complete build, as evidence; none if all is anew.
with

scope as (

    select * from {{ ref('identity__scope') }}

),

event_rows as (

    select * from {{ ref('identity__event_rows') }}

)

select *
from event_rows
where
    -- By load, not by time: a late row is new too.
    load_id > (select if(scope.evidence_is_new, null, scope.since_load_id) from scope)
