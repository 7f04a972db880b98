-- One row per identifier that may stand in Lytics' two unique ids, and whose it is.
{{ config(materialized='view') }}

with

identifiers as (

    select
        anchor_key,
        id_type,
        namespace,
        id_value
    from {{ ref('identity__identifiers') }}
    where anchor_key is not null and id_type in ('amplitude_id', 'user_id')

),

persons as (

    select * from {{ ref('identity__resolved_persons') }}

),

settings as (

    select * from {{ ref('stg_relay__settings') }}

),

judged as (

    select
        identifiers.id_type,
        identifiers.namespace,
        identifiers.id_value,
        persons.person_id,
        persons.is_suppressed,
        case
            when strlen(identifiers.id_value) > settings.lytics_max_identifier_bytes
                then 'identifier_too_long'
            -- Lytics knows no namespaces: a value of two organisations would make strangers one.
            when
                count(*) over (partition by identifiers.id_type, identifiers.id_value) > 1
                then 'identifier_in_two_namespaces'
        end as problem
    from identifiers
    inner join persons
        on identifiers.anchor_key = persons.anchor_key
    cross join settings

)

select
    id_type,
    namespace,
    id_value,
    person_id,
    is_suppressed,
    problem
from judged
