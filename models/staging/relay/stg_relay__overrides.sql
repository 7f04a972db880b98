-- One row per line of the overrides file: two identifiers that a person linked or kept apart.
{% set identifier = '^([a-z_]+):(?:[{]([^{}]*)[}])?(.*)$' -%}

with

source as (

    select * from {{ source('raw', 'identity_overrides') }}

),

parts as (

    select
        *,
        regexp_extract(left_id, '{{ identifier }}', ['type', 'namespace', 'value'], 's')
            as left_part,
        regexp_extract(right_id, '{{ identifier }}', ['type', 'namespace', 'value'], 's')
            as right_part
    from source

)

select
    -- keys
    kind,
    left_part['type'] as left_id_type,
    {{ override_namespace('left_part') }} as left_namespace,
    {{ override_value('left_part') }} as left_id_value,
    right_part['type'] as right_id_type,
    {{ override_namespace('right_part') }} as right_namespace,
    {{ override_value('right_part') }} as right_id_value,

    -- attributes
    note,
    author,
    decided_on,

    -- lineage
    left_id,
    right_id,
    line
from parts
