-- One row per event that a client sent, however often it sent it: of its retries the earliest
-- upload.
with

events as (

    select * from {{ ref('stg_amplitude__events') }}

)

-- A retry has the project, the device and the insert id of the first sending, and no time limit.
select *
from events
qualify insert_id is null
or device_id is null
or row_number() over (
    partition by app, device_id, insert_id
    order by server_upload_time, uuid
) = 1
