-- One row per event, as evidence, that came since the last complete build; none if all is resolved
-- anew.
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
    -- By load, not by time: a late row is new too. So few rows are read of so many that each
    -- build's
    -- models read them here.
    load_id > (select if(evidence_is_new, null, since_load_id) from scope)
