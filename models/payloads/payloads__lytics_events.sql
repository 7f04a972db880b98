-- One row per event to be sent to Lytics' stream amplitude_events: each event once, whatever is loaded again.
with

event_imports as (

    select * from {{ ref('fields__lytics_event_imports') }}

),

event_rows as (

    select * from {{ ref('fields__lytics_event_rows') }}

),

fragment_persons as (

    select * from {{ ref('fields__lytics_fragment_persons') }}
    where unsendable_reason is null

),

persons as (

    select * from {{ ref('identity__persons') }}

),

settings as (

    select * from {{ ref('stg_relay__settings') }}

),

-- A merge patch takes out what it has a null for: fields that every row of the map has switched off.
withheld as (

    select cast(
        '{' || coalesce(string_agg(to_json(source_field) || ':null', ',' order by source_field), '')
        || '}' as json
    ) as patch
    from (
        select source_field
        from {{ ref('fields__lytics_mappings') }}
        where stream = 'amplitude_events' and function_name = 'field'
        group by source_field
        having not bool_or(is_applied)
    )

),

-- Counts add up in Lytics: what was delivered, or may have been, is never sent again.
decided as (

    select distinct
        row_outcomes.sync_name,
        try_cast(row_outcomes.match_key as uuid) as event_key
    from {{ ref('ledger__row_outcomes') }} as row_outcomes
    cross join settings
    where
        row_outcomes.sync_kind = 'event_import'
        and (
            row_outcomes.outcome in ('delivered', 'unknown')
            or (row_outcomes.outcome = 'rejected' and not settings.retries_rejected)
        )

),

pending as (

    select
        event_imports.sync_name,
        event_rows.event_key,
        event_rows.load_id
    from event_rows
    inner join event_imports
        on event_rows.uploaded_at >= event_imports.starts_at
    anti join decided
        on
            event_imports.sync_name = decided.sync_name
            and event_rows.event_key = decided.event_key

),

-- Joined on the load too, so that the scan of a long history is limited to the loads that are pending.
rendered as (

    select
        pending.sync_name,
        cast(event_rows.event_key as varchar) as match_key,
        cast(event_rows.uuid as varchar) as key_value,
        event_rows.order_key,
        fragment_persons.person_id,
        persons.anchor,
        {{ lytics_record(
            'fragment_persons.amplitude_id',
            'fragment_persons.user_id',
            'json_merge_patch(event_rows.stream_columns, withheld.patch)'
        ) }} as record
    from pending
    inner join event_rows
        on
            pending.load_id = event_rows.load_id
            and pending.event_key = event_rows.event_key
    inner join fragment_persons
        on event_rows.fragment_id = fragment_persons.fragment_id
    inner join persons
        on fragment_persons.person_id = persons.person_id
    cross join withheld

),

stitches as (

    select
        event_imports.sync_name,
        cast(stitch_rows.event_key as varchar) as match_key,
        stitch_rows.amplitude_id || ' ' || stitch_rows.user_id as key_value,
        stitch_rows.order_key,
        stitch_rows.person_id,
        persons.anchor,
        {{ lytics_record(
            'stitch_rows.amplitude_id', 'stitch_rows.user_id', 'stitch_rows.stream_columns'
        ) }} as record
    from {{ ref('fields__lytics_stitch_rows') }} as stitch_rows
    cross join event_imports
    inner join persons
        on stitch_rows.person_id = persons.person_id
    anti join decided
        on
            event_imports.sync_name = decided.sync_name
            and stitch_rows.event_key = decided.event_key

),

all_rows as (

    select
        *,
        'event' as key_type
    from rendered
    union all
    select
        *,
        'stitch' as key_type
    from stitches

)

select
    -- keys
    sync_name,
    'lytics' as destination,
    cast(null as varchar) as cohort_id,
    cast(null as varchar) as cohort_name,
    row_number() over (
        partition by sync_name
        order by order_key, match_key
    ) as position,
    cast(2 as integer) as phase,
    {{ hash_of(['sync_name', 'match_key']) }} as change_id,

    -- the change
    if(key_type = 'event', 'added', 'stitched') as action,
    if(key_type = 'event', 'new_event', 'one_person') as reason,
    key_type,
    key_value,
    match_key,
    [person_id] as person_ids,
    [anchor] as anchors,
    {{ hash_of(['record']) }} as payload_hash,

    -- what is sent
    record,
    '[' as body_prefix,
    ']' as body_suffix
from all_rows
