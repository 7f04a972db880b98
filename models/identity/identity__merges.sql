-- One row per pair of amplitude ids of which Amplitude says that the left one was absorbed by the right one.
{{ config(materialized='view') }}

with

merges as (

    select * from {{ ref('stg_amplitude__merges') }}

),

namespaces as (

    select * from {{ ref('stg_relay__namespaces') }}

),

junk_ids as (

    select * from {{ ref('stg_relay__junk_ids') }}

),

contaminated as (

    select * from {{ ref('identity__contaminated_ids') }}

),

pairs as (

    select
        coalesce(namespaces.namespace, 'default') as namespace,
        merges.amplitude_id,
        merges.merged_amplitude_id,
        count(*) as row_count,
        min(merges.merged_at) as first_seen_at,
        max(merges.merged_at) as last_seen_at,
        max(merges.load_id) as load_id
    from merges
    left join namespaces
        on merges.project = namespaces.project
    where merges.amplitude_id != merges.merged_amplitude_id
    group by namespaces.namespace, merges.amplitude_id, merges.merged_amplitude_id

),

keyed as (

    select
        *,
        {{ identifier_key("'amplitude_id'", 'namespace', 'amplitude_id') }} as left_key,
        {{ identifier_key("'amplitude_id'", 'namespace', 'merged_amplitude_id') }} as right_key
    from pairs
    where
        not {{ is_junk('amplitude_id', 'cast(amplitude_id as varchar)') }}
        and not {{ is_junk('amplitude_id', 'cast(merged_amplitude_id as varchar)') }}

)

select *
from keyed
where
    left_key not in (select amplitude_key from contaminated)
    and right_key not in (select amplitude_key from contaminated)
