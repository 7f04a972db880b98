-- One row per event that is its fragment's newest to fill a column: the columns that no newer event
-- of the fragment fills.
{{
    config(
        materialized='incremental',
        incremental_strategy='supersede',
        unique_key='fragment_id',
        pre_hook=["{{ forget_other_scopes(this) }}", "{{ remember_newest_load(this) }}"]
    )
}}
{%- set columns = [('amplitude_id', 'amplitude_id', 'text'), ('user_id', 'user_id', 'text')]
    + lytics_event_columns() %}

with

event_imports as (

    select * from {{ ref('fields__lytics_event_imports') }}

),

new_rows as (

    select event_rows.*
    from {{ ref('fields__lytics_event_rows') }} as event_rows
    inner join event_imports
        on event_rows.server_upload_time >= event_imports.starts_at
    where event_rows.load_id > coalesce(getvariable('newest_load'), 0)

),

parts as (

    select
        fragment_id,
        {%- for _, column, _ in columns %}
            {{ column }},
        {%- endfor %}
        order_key,
        load_id
    from new_rows
    {% if is_incremental() %}
        union all by name
        select done.* exclude (scope)
        from {{ this }} as done
        where done.fragment_id in (select new_rows.fragment_id from new_rows)
    {% endif %}

),

-- The order keys alone: values would have to be held in memory, of all fragments at once.
newest as (

    select
        {%- for _, column, kind in columns %}
            max(order_key) filter ({{ lytics_column_says(column, kind) }}) as {{ column }},
        {%- endfor %}
        fragment_id
    from parts
    group by fragment_id

),

kept as (

    select
        parts.fragment_id,
        {%- for _, column, _ in columns %}
            if(parts.order_key = newest.{{ column }}, parts.{{ column }}, null) as {{ column }},
        {%- endfor %}
        parts.order_key,
        parts.load_id
    from parts
    inner join newest
        on parts.fragment_id = newest.fragment_id

)

select
    kept.*,
    event_imports.scope
from kept
cross join event_imports
where
    {%- for _, column, _ in columns %}
        {{ 'or ' if not loop.first }}kept.{{ column }} is not null
    {%- endfor %}
