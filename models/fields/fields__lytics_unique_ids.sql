-- One row per identifier that may stand in Lytics' two unique ids, and whose it is.
{{ config(materialized='view') }}

with

person_ids as (

    select * from {{ ref('identity__person_ids') }}
    where id_type in ('amplitude_id', 'user_id')

),

persons as (

    select * from {{ ref('identity__persons') }}

),

settings as (

    select * from {{ ref('stg_relay__settings') }}

),

judged as (

    select
        person_ids.id_type,
        person_ids.namespace,
        person_ids.id_value,
        person_ids.person_id,
        persons.is_suppressed,
        case
            when strlen(person_ids.id_value) > settings.lytics_max_identifier_bytes
                then 'identifier_too_long'
            -- Lytics knows no namespaces: a value of two organisations would make strangers one.
            when
                count(*) over (partition by person_ids.id_type, person_ids.id_value) > 1
                then 'identifier_in_two_namespaces'
        end as problem
    from person_ids
    inner join persons
        on person_ids.person_id = persons.person_id
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
