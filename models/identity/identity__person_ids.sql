-- One row per identifier: the person it belongs to. Each is in exactly one person.
{{ config(materialized='view') }}

with

identifiers as (

    select * from {{ ref('identity__identifiers') }}
    where anchor_key is not null

)

select
    -- keys
    {{ person_id_of('anchor_key') }} as person_id,
    anchor_key,
    {{ identifier_text('id_type', 'namespace', 'id_value') }} as identifier,
    id_type,
    id_value,
    namespace,

    -- times
    first_seen_at,
    last_seen_at
from identifiers
