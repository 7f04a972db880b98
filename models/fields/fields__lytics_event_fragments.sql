-- One row per pair of amplitude id and user id that events of the stream carry: their number and
-- times.
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

    select
        event_rows.fragment_id,
        event_rows.project,
        event_rows.amplitude_id,
        event_rows.user_id,
        1 as events_count,
        event_rows.event_time as first_event_at,
        event_rows.event_time as last_event_at,
        event_rows.load_id
    from {{ ref('fields__lytics_event_rows') }} as event_rows
    inner join event_imports
        on event_rows.server_upload_time >= event_imports.starts_at
    where event_rows.load_id > coalesce(getvariable('newest_load'), 0)

),

parts as (

    select * from new_rows
    {% if is_incremental() %}
        union all by name
        select done.* exclude (scope)
        from {{ this }} as done
        where done.fragment_id in (select new_rows.fragment_id from new_rows)
    {% endif %}

)

select
    -- keys
    parts.fragment_id,
    any_value(parts.project) as project,
    any_value(parts.amplitude_id) as amplitude_id,
    any_value(parts.user_id) as user_id,

    -- attributes
    cast(sum(parts.events_count) as bigint) as events_count,

    -- times
    min(parts.first_event_at) as first_event_at,
    max(parts.last_event_at) as last_event_at,

    -- lineage
    max(parts.load_id) as load_id,
    event_imports.scope
from parts
cross join event_imports
group by parts.fragment_id, event_imports.scope
