-- One row per identifier of the namespace that exports go to: the Amplitude project's.
with

settings as (

    select * from {{ ref('stg_relay__settings') }}

),

namespaces as (

    select * from {{ ref('stg_relay__namespaces') }}

),

identifiers as (

    select * from {{ ref('identity__identifiers') }}
    where anchor_key is not null

)

select
    identifiers.identifier_key,
    identifiers.anchor_key,
    identifiers.id_type,
    identifiers.id_value
from identifiers
cross join settings
left join namespaces
    on settings.amplitude_project = namespaces.project
where identifiers.namespace = coalesce(namespaces.namespace, 'default')
