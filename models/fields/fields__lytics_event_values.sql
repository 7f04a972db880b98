-- One row per fragment, profile field and key in it: the newest value its events gave, or their
-- count.
{{
    config(
        materialized='incremental',
        unique_key='fragment_id',
        pre_hook=["{{ forget_other_scopes(this) }}", "{{ remember_newest_load(this) }}"]
    )
}}

with

event_imports as (

    select * from {{ ref('fields__lytics_event_imports') }}

),

new_rows as (

    select
        fragment_id,
        former_fragments,
        load_id
    from {{ ref('fields__lytics_event_rows') }}
    where load_id > coalesce(getvariable('newest_load'), 0)

),

-- Fragments that lost an event to an earlier copy of it are counted from the beginning.
former as (

    select
        unnest(former_fragments) as former_fragment,
        load_id
    from new_rows

),

recounted as (

    select
        former_fragment as fragment_id,
        max(load_id) as load_id
    from former
    group by former_fragment

),

-- A row of a stitch has no load, and is no event.
mapped_values as (

    select * exclude (stream, row_id)
    from {{ ref('fields__lytics_mapped_values') }}
    where stream = 'amplitude_events' and load_id is not null

),

parts as (

    select * from mapped_values
    where
        load_id > coalesce(getvariable('newest_load'), 0)
        and fragment_id not in (select recounted.fragment_id from recounted)
    union all
    select * from mapped_values
    where fragment_id in (select recounted.fragment_id from recounted)
    {% if is_incremental() %}
        union all by name
        select * exclude (scope)
        from {{ this }}
        where
            fragment_id in (select new_rows.fragment_id from new_rows)
            and fragment_id not in (select recounted.fragment_id from recounted)
    {% endif %}

),

newest as (

    select
        fragment_id,
        target_field,
        map_key,
        any_value(source_field) as source_field,
        any_value(is_map) as is_map,
        arg_max(value_json, order_key) as value_json,
        cast(sum(value_count) as bigint) as value_count,
        max(order_key) as order_key,
        max(load_id) as load_id
    from parts
    where target_field != ''
    group by fragment_id, target_field, map_key

),

-- A fragment that has lost all it had still needs a row, or its old ones would stay.
all_rows as (

    select * from newest
    union all by name
    select
        fragment_id,
        '' as target_field,
        load_id
    from recounted

)

select
    -- keys
    all_rows.fragment_id,
    all_rows.target_field,
    all_rows.map_key,

    -- attributes
    all_rows.source_field,
    all_rows.is_map,
    all_rows.value_json,
    all_rows.value_count,

    -- order and lineage
    all_rows.order_key,
    all_rows.load_id,
    event_imports.scope
from all_rows
cross join event_imports
