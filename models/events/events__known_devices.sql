-- One row per device of the namespace that exports go to, and the anchor of whose it is.
with

settings as (

    select * from {{ ref('stg_relay__settings') }}

),

namespaces as (

    select * from {{ ref('stg_relay__namespaces') }}

),

devices as (

    select * from {{ ref('identity__devices') }}

),

identifiers as (

    select * from {{ ref('identity__identifiers') }}

)

select
    devices.device_id,
    coalesce(owners.anchor_key, lone_devices.anchor_key) as anchor_key
from devices
cross join settings
left join namespaces
    on settings.amplitude_project = namespaces.project
left join identifiers as owners
    on devices.owner_key = owners.identifier_key
left join identifiers as lone_devices
    on devices.device_key = lone_devices.identifier_key
where devices.namespace = coalesce(namespaces.namespace, 'default')
