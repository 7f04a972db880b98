-- One row per event, however often its client sent it: of its retries the earliest upload.
with

events as (

    select * from {{ ref('stg_amplitude__events') }}

),

retries as (

    select * from {{ ref('stg_amplitude__retries') }}

)

-- A retry has the project, the device and the insert id of the first sending, and no time limit.
select events.*
from events
anti join retries
    on events.uuid = retries.uuid
