-- One row per fragment, profile field and key in it: the newest value its events gave, or their count.
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

recounted as (

    select
        former_fragment as fragment_id,
        max(load_id) as load_id
    from (
        select
            unnest(former_fragments) as former_fragment,
            load_id
        from new_rows
    )
    group by former_fragment

),

mapped_values as (

    select * from {{ ref('fields__lytics_mapped_values') }}
    where stream = 'amplitude_events'

),

parts as (

    select
        fragment_id,
        target_field,
        map_key,
        source_field,
        is_map,
        value_json,
        value_count,
        order_key,
        load_id
    from mapped_values
    where
        load_id > coalesce(getvariable('newest_load'), 0)
        and fragment_id not in (select recounted.fragment_id from recounted)
    union all
    select
        fragment_id,
        target_field,
        map_key,
        source_field,
        is_map,
        value_json,
        value_count,
        order_key,
        load_id
    from mapped_values
    where
        load_id is not null
        and fragment_id in (select recounted.fragment_id from recounted)
    {% if is_incremental() %}
        union all
        select
            fragment_id,
            target_field,
            map_key,
            source_field,
            is_map,
            value_json,
            value_count,
            order_key,
            load_id
        from {{ this }}
        where
            fragment_id in (select new_rows.fragment_id from new_rows)
            and fragment_id not in (select recounted.fragment_id from recounted)
    {% endif %}

),

newest as (

    select
        -- keys
        fragment_id,
        target_field,
        map_key,

        -- attributes
        any_value(source_field) as source_field,
        any_value(is_map) as is_map,
        arg_max(value_json, order_key) as value_json,
        cast(sum(value_count) as bigint) as value_count,

        -- order
        max(order_key) as order_key,
        max(load_id) as load_id
    from parts
    group by fragment_id, target_field, map_key

),

-- A fragment that has lost all it had still needs a row, or its old ones would stay.
emptied as (

    select
        fragment_id,
        '' as target_field,
        load_id
    from recounted

),

all_rows as (

    select * from newest
    where target_field != ''
    union all by name
    select * from emptied

)

select
    all_rows.*,
    event_imports.scope
from all_rows
cross join event_imports
