-- One row per compared key that the ledger knows: what its destination was last told of it.
with

compared as (

    select * from {{ ref('cohorts__compared_keys') }}

),

known as (

    select * from {{ ref('ledger__confirmed_keys') }}

)

select
    -- keys
    compared.sync_name,
    compared.segment,
    compared.key_type,
    compared.match_key,

    -- attributes
    compared.list_name,
    compared.is_current,
    known.key_value,
    known.cohort_name,
    known.person_ids,
    known.anchors,
    known.is_parked,
    known.rejected_payload_hash
from compared
inner join known
    on
        compared.sync_name = known.sync_name
        and compared.segment = known.segment
        and compared.key_type = known.key_type
        and compared.match_key = known.match_key
where compared.is_confirmed or compared.is_in_doubt or compared.is_parked
