-- One row per pair of amplitude ids of which Amplitude says that the right absorbed the left.
{{ config(
    materialized='incremental',
    incremental_strategy='supersede',
    unique_key='left_key',
    meta={'part': 'evidence'},
) }}

with

scope as (

    select * from {{ ref('identity__scope') }}

),

namespaces as (

    select * from {{ ref('stg_relay__namespaces') }}

),

junk_ids as (

    select * from {{ ref('stg_relay__junk_ids') }}

),

merge_rows as (

    select * from {{ ref('stg_amplitude__merges') }}
    where
        amplitude_id != merged_amplitude_id
        {% if not resolves_anew('evidence') %}
            and amplitude_id in (
                select new_rows.amplitude_id
                from {{ ref('stg_amplitude__merges') }} as new_rows
                where new_rows.load_id > (select scope.since_load_id from scope)
            )
        {% endif %}

),

pairs as (

    select
        coalesce(namespaces.namespace, 'default') as namespace,
        merge_rows.amplitude_id,
        merge_rows.merged_amplitude_id,
        -- A row is its pair and its time, however often it was delivered.
        count(distinct coalesce(merge_rows.merged_at, timestamp 'infinity')) as row_count,
        min(merge_rows.merged_at) as first_seen_at,
        max(merge_rows.merged_at) as last_seen_at,
        max(merge_rows.load_id) as load_id
    from merge_rows
    left join namespaces
        on merge_rows.project = namespaces.project
    group by namespaces.namespace, merge_rows.amplitude_id, merge_rows.merged_amplitude_id

)

select
    -- keys
    {{ identifier_key("'amplitude_id'", 'namespace', 'amplitude_id') }} as left_key,
    {{ identifier_key("'amplitude_id'", 'namespace', 'merged_amplitude_id') }} as right_key,
    namespace,
    amplitude_id,
    merged_amplitude_id,

    -- attributes
    row_count,

    -- times
    first_seen_at,
    last_seen_at,

    -- lineage
    load_id
from pairs
where
    not {{ is_junk('amplitude_id', 'cast(amplitude_id as varchar)') }}
    and not {{ is_junk('amplitude_id', 'cast(merged_amplitude_id as varchar)') }}
