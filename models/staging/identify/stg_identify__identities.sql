-- One row per line of the file that `relay identify` was given last, its identifiers cleaned.
with

source as (

    select * from {{ source('raw', 'identities') }}

)

select
    -- keys
    line,
    {{ clean_text('user_id') }} as user_id,
    {{ clean_text('clevertap_identity') }} as clevertap_identity,

    -- attributes
    problem
from source
