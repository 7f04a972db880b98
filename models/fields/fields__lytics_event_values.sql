-- One row per fragment, profile field and key in it: the newest value its events gave, or their
-- count. Fields that take a column as it is are made from fields__lytics_newest_rows.
{{
    config(
        materialized='incremental',
        incremental_strategy='supersede',
        unique_key='fragment_id',
        pre_hook=["{{ forget_other_scopes(this) }}", "{{ remember_newest_load(this) }}"]
    )
}}

with

event_imports as (

    select * from {{ ref('fields__lytics_event_imports') }}

),

new_rows as (

    select * from {{ ref('fields__lytics_event_rows') }}
    where load_id > coalesce(getvariable('newest_load'), 0)

),

-- A row of a stitch has no load, and is no event.
new_values as (

    select * exclude (stream)
    from {{ ref('fields__lytics_mapped_values') }}
    where
        stream = 'amplitude_events'
        and load_id > coalesce(getvariable('newest_load'), 0)

),

parts as (

    select * from new_values
    {% if is_incremental() %}
        union all by name
        select done.* exclude (scope)
        from {{ this }} as done
        where done.fragment_id in (select new_rows.fragment_id from new_rows)
    {% endif %}

),

-- By windows, which go to disk where memory ends; aggregates keep their texts in it.
newest as (

    select
        -- keys
        fragment_id,
        target_field,
        map_key,

        -- attributes
        value_json,
        cast(sum(value_count) over one_key as bigint) as value_count,

        -- order and lineage
        order_key,
        max(load_id) over one_key as load_id
    from parts
    window one_key as (partition by fragment_id, target_field, map_key)
    qualify row_number() over (
        partition by fragment_id, target_field, map_key
        order by order_key desc
    ) = 1

)

select
    newest.*,
    event_imports.scope
from newest
cross join event_imports
