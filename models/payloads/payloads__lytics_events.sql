-- One row per row to be sent to Lytics' stream amplitude_events: each event once, whatever is
-- loaded.
with

due_rows as (

    select * from {{ ref('fields__lytics_due_rows') }}

),

event_rows as (

    select * from {{ ref('fields__lytics_event_rows') }}

),

stitch_rows as (

    select * from {{ ref('fields__lytics_stitch_rows') }}

),

fragment_persons as (

    select * from {{ ref('fields__lytics_fragment_persons') }}
    where unsendable_reason is null

),

persons as (

    select * from {{ ref('identity__resolved_persons') }}

),

-- A merge patch takes out what it has a null for: the fields that the map has switched off.
withheld as (

    select
        cast(
            '{' || coalesce(string_agg(to_json(source_field) || ':null', ','), '') || '}' as json
        ) as patch
    from (
        select source_field
        from {{ ref('fields__lytics_mappings') }}
        where stream = 'amplitude_events' and function_name = 'field'
        group by source_field
        having not bool_or(is_applied)
    ) as switched_off

),

-- Joined on the load too: the scan of a long history is limited to the loads that are due.
due_events as (

    select
        due_rows.sync_name,
        due_rows.key_type,
        due_rows.event_key,
        cast(event_rows.uuid as varchar) as key_value,
        fragment_persons.person_id,
        fragment_persons.amplitude_id,
        fragment_persons.user_id,
        json_merge_patch({{ lytics_event_json() }}, withheld.patch) as stream_columns,
        event_rows.order_key
    from due_rows
    inner join event_rows
        on
            due_rows.load_id = event_rows.load_id
            and due_rows.event_key = event_rows.event_key
    inner join fragment_persons
        on event_rows.fragment_id = fragment_persons.fragment_id
    cross join withheld
    where due_rows.key_type = 'event'

),

due_stitches as (

    select
        due_rows.sync_name,
        due_rows.key_type,
        due_rows.event_key,
        stitch_rows.amplitude_id || ' ' || stitch_rows.user_id as key_value,
        stitch_rows.person_id,
        stitch_rows.amplitude_id,
        stitch_rows.user_id,
        stitch_rows.stream_columns,
        stitch_rows.order_key
    from due_rows
    inner join stitch_rows
        on due_rows.event_key = stitch_rows.event_key
    where due_rows.key_type = 'stitch'

),

both_kinds as (

    select * from due_events
    union all
    select * from due_stitches

),

rendered as (

    select
        both_kinds.*,
        persons.anchor,
        cast(both_kinds.event_key as varchar) as match_key,
        {{ lytics_record(
            'both_kinds.amplitude_id', 'both_kinds.user_id', 'both_kinds.stream_columns'
        ) }} as record
    from both_kinds
    inner join persons
        on both_kinds.person_id = persons.person_id

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
from rendered
