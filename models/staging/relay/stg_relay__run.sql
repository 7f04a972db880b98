-- The one row of what this run was asked for, and its clock.
with

source as (

    select * from {{ source('raw', 'run') }}

)

select
    retries_rejected,
    undoes,
    planned_at
from source
