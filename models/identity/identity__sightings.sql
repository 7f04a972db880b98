-- One row per source and combination of identifiers: how often and when they stood in one row. What
-- is in the newest snapshot of a cohort is counted up to where it was taken up.
{{ config(
    materialized='incremental',
    incremental_strategy='supersede',
    unique_key='sighting_key',
    meta={'part': 'evidence'},
) }}
{% set anew = resolves_anew('evidence') -%}

-- depends_on: {{ ref('identity__new_events') }}
with

event_rows as (

    {% if anew %}
        select * from {{ ref('identity__event_rows') }}
    {% else %}
        select * from {{ ref('identity__new_events') }}
        -- None twice, should a build have been cut short after this table.
        where
            load_id > (
                select coalesce(max(counted.load_id), 0)
                from {{ this }} as counted
                where counted.source = 'events'
            )
    {% endif %}

),

cohort_rows as (

    select * from {{ ref('identity__cohort_runs') }}

),

junk_ids as (

    select * from {{ ref('stg_relay__junk_ids') }}

),

seen_in_events as (

    select
        'events' as source,
        namespace,
        amplitude_id,
        user_id,
        device_id,
        count(*) as row_count,
        {{ first_of('event_time', 'row_key') }} as first_row,
        min(event_time) as first_seen_at,
        max(event_time) as last_seen_at,
        cast(null as varchar) as open_cohort_id,
        0 as open_rows_count,
        max(load_id) as load_id
    from event_rows
    where coalesce(cast(amplitude_id as varchar), user_id, device_id) is not null
    group by namespace, amplitude_id, user_id, device_id

),

-- Two spellings that are cleaned to one may overlap: a snapshot counts once.
cohort_runs as (

    select
        *,
        greatest(
            first_number,
            1 + coalesce(
                max(last_number) over (
                    partition by cohort_id, amplitude_id, user_id
                    order by first_number, last_number
                    rows between unbounded preceding and 1 preceding
                ),
                0
            )
        ) as counts_from_number
    from cohort_rows
    where coalesce(cast(amplitude_id as varchar), user_id) is not null

),

seen_in_cohorts as (

    select
        'cohort ' || cohort_id as source,
        namespace,
        amplitude_id,
        user_id,
        cast(null as varchar) as device_id,
        sum(greatest(last_number + 1 - counts_from_number, 0)) as row_count,
        'cohort ' || cohort_id || ' of '
        || strftime(min(first_seen_at), '%Y-%m-%dT%H:%M:%SZ') as first_row,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at,
        max(cohort_id) filter (where is_open) as open_cohort_id,
        coalesce(sum(row_count) filter (where is_open), 0) as open_rows_count,
        max(cohort_load_id) as load_id
    from cohort_runs
    group by cohort_id, namespace, amplitude_id, user_id

),

seen as (

    select * from seen_in_events
    union all
    select * from seen_in_cohorts

),

keyed as (

    select
        *,
        {{ combination_key(['source', 'namespace', 'amplitude_id', 'user_id', 'device_id']) }}
            as sighting_key
    from seen

),

{% if not anew -%}
    counted as (

        select sightings.*
        from {{ this }} as sightings
        where sightings.sighting_key in ({{ keys_of('keyed', 'sighting_key') }})

    ),

    -- What was counted before: rows of events add up, those of a cohort are counted again. Which
    -- of the ids are junk was judged then.
    counted_again as (

        select
            counted.* replace (
                if(
                    keyed.source = 'events',
                    keyed.row_count + counted.row_count,
                    keyed.row_count
                ) as row_count,
                if(
                    keyed.source = 'events'
                    and {{ is_earlier(
                        'counted.first_seen_at', 'counted.first_row',
                        'keyed.first_seen_at', 'keyed.first_row'
                    ) }},
                    counted.first_row,
                    keyed.first_row
                ) as first_row,
                if(
                    keyed.source = 'events',
                    least(keyed.first_seen_at, counted.first_seen_at),
                    keyed.first_seen_at
                ) as first_seen_at,
                if(
                    keyed.source = 'events',
                    greatest(keyed.last_seen_at, counted.last_seen_at),
                    keyed.last_seen_at
                ) as last_seen_at,
                keyed.open_cohort_id as open_cohort_id,
                keyed.open_rows_count as open_rows_count,
                keyed.load_id as load_id
            )
        from keyed
        inner join counted
            on keyed.sighting_key = counted.sighting_key
        where
            keyed.source = 'events'
            or keyed.row_count != counted.row_count
            or keyed.first_seen_at is distinct from counted.first_seen_at
            or keyed.last_seen_at is distinct from counted.last_seen_at
            or keyed.open_cohort_id is distinct from counted.open_cohort_id
            or keyed.open_rows_count != counted.open_rows_count

    ),

{% endif -%}
added as (

    select * from keyed
    {% if not anew %}
        where sighting_key not in (select counted.sighting_key from counted)
    {% endif %}

),

judged as (

    select
        *,
        {{ is_junk('amplitude_id', 'cast(amplitude_id as varchar)') }} as is_amplitude_junk,
        {{ is_junk('user_id', 'user_id') }} as is_user_junk,
        {{ is_junk('device_id', 'device_id') }} as is_device_junk
    from added

),

identified as (

    select
        *,
        if(
            is_amplitude_junk,
            null,
            {{ identifier_key("'amplitude_id'", 'namespace', 'amplitude_id') }}
        ) as amplitude_key,
        if(is_user_junk, null, {{ identifier_key("'user_id'", 'namespace', 'user_id') }})
            as user_key,
        if(is_device_junk, null, {{ identifier_key("'device_id'", 'namespace', 'device_id') }})
            as device_key
    from judged

)

select
    -- keys
    sighting_key,
    source,
    namespace,
    amplitude_id,
    user_id,
    device_id,

    -- the identifiers that name somebody, and whose the rows are if none of them is contaminated
    amplitude_key,
    user_key,
    device_key,
    coalesce(user_key, amplitude_key, device_key) as identifier_key,
    is_amplitude_junk,
    is_user_junk,
    is_device_junk,

    -- attributes
    cast(row_count as bigint) as row_count,
    first_row,

    -- times
    first_seen_at,
    last_seen_at,

    -- the cohort in whose newest snapshot it is, and in how many rows there
    open_cohort_id,
    cast(open_rows_count as bigint) as open_rows_count,

    -- lineage
    load_id
from identified
{% if not anew %}

    union all by name

    select * from counted_again
{% endif %}
