-- One row per Amplitude project that has a namespace other than `default`.
with

source as (

    select * from {{ source('raw', 'identity_namespaces') }}

)

select
    project,
    namespace
from source
