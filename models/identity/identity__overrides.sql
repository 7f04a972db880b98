-- One row per override between two identifiers of one namespace that may name somebody (ID-11).
{{ config(materialized='view') }}

with

overrides as (

    select * from {{ ref('stg_relay__overrides') }}

),

junk_ids as (

    select * from {{ ref('stg_relay__junk_ids') }}

),

keyed as (

    select
        kind,
        left_namespace as namespace,
        left_id_type,
        left_id_value,
        right_id_type,
        right_id_value,
        {{ identifier_key('left_id_type', 'left_namespace', 'left_id_value') }} as left_key,
        {{ identifier_key('right_id_type', 'right_namespace', 'right_id_value') }} as right_key,
        line,
        note,
        author,
        decided_on
    from overrides
    where
        left_namespace = right_namespace
        and not {{ is_junk_identifier('left_id_type', 'left_id_value') }}
        and not {{ is_junk_identifier('right_id_type', 'right_id_value') }}

)

select *
from keyed
where left_key != right_key
