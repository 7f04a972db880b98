-- One row per pair of amplitude id and user id that events of the stream carry: their number
-- and times.
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

event_rows as (

    select
        event_rows.fragment_id,
        event_rows.project,
        event_rows.amplitude_id,
        event_rows.user_id,
        event_rows.former_fragments,
        event_rows.uploaded_at >= event_imports.starts_at as is_in_stream,
        event_rows.event_at,
        event_rows.load_id
    from {{ ref('fields__lytics_event_rows') }} as event_rows
    cross join event_imports

),

new_rows as (

    select * from event_rows
    where load_id > coalesce(getvariable('newest_load'), 0)

),

-- Fragments that lost an event to an earlier copy of it are counted from the beginning.
recounted as (

    select distinct unnest(former_fragments) as fragment_id
    from new_rows

),

counted as (

    select
        *,
        if(is_in_stream, 1, 0) as events_count
    from new_rows
    where fragment_id not in (select recounted.fragment_id from recounted)
    union all
    select
        *,
        if(is_in_stream, 1, 0) as events_count
    from event_rows
    where fragment_id in (select recounted.fragment_id from recounted)

),

parts as (

    select
        fragment_id,
        project,
        amplitude_id,
        user_id,
        events_count,
        if(is_in_stream, event_at, null) as first_event_at,
        if(is_in_stream, event_at, null) as last_event_at,
        load_id
    from counted
    {% if is_incremental() %}
        union all
        -- What was counted before; of a fragment that is counted anew, only who it is.
        select
            done.fragment_id,
            done.project,
            done.amplitude_id,
            done.user_id,
            if(recounted.fragment_id is null, done.events_count, 0) as events_count,
            if(recounted.fragment_id is null, done.first_event_at, null) as first_event_at,
            if(recounted.fragment_id is null, done.last_event_at, null) as last_event_at,
            done.load_id
        from {{ this }} as done
        left join recounted
            on done.fragment_id = recounted.fragment_id
        where
            recounted.fragment_id is not null
            or done.fragment_id in (select new_rows.fragment_id from new_rows)
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
