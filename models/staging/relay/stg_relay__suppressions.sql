-- One row per line of the suppress file: identifiers of people who are sent nowhere.
with

source as (

    select * from {{ source('raw', 'suppressions') }}

)

select
    -- keys
    id_type,
    case
        when match = 'regex' then id_value
        when id_type = 'amplitude_id' then {{ canonical_amplitude_id('id_value') }}
        else {{ clean_text('id_value') }}
    end as id_value,
    match,

    -- lineage
    line
from source
