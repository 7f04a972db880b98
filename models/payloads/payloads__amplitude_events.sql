-- One row per engagement event to be sent to Amplitude, in the order in which it happened.
with

rendered as (

    select * from {{ ref('events__rendered') }}
    where drop_reason is null

),

run as (

    select * from {{ ref('stg_relay__run') }}

),

judged as (

    select
        rendered.*,
        case
            when rendered.outcome is null then 'arrived'
            -- Amplitude knows an insert_id again for 7 days: till then a repeat is harmless.
            when rendered.outcome = 'unknown'
                then if(
                    run.planned_at < rendered.first_attempted_at + interval 7 day,
                    'resend',
                    null
                )
            when run.retries_rejected then 'retry'
            when rendered.payload_hash != rendered.rejected_payload_hash then 'changed'
        end as reason
    from rendered
    cross join run

)

select
    -- keys
    sync_name,
    'amplitude' as destination,
    cast(null as varchar) as cohort_id,
    cast(null as varchar) as cohort_name,
    row_number() over (
        partition by sync_name
        order by event_at, event_id
    ) as position,
    2 as phase,
    event_id as change_id,

    -- the change
    'added' as action,
    reason,
    if(user_id is null, 'device_id', 'user_id') as key_type,
    coalesce(user_id, device_id) as key_value,
    coalesce(user_id, device_id) as match_key,
    list_filter([person_id], lambda person: person is not null) as person_ids,
    list_filter([anchor], lambda one: one is not null) as anchors,
    payload_hash,

    -- what is sent; Amplitude's key is added by the sender
    record,
    '{"events":[' as body_prefix,
    '],"options":{"min_id_length":' || min_id_length || '}}' as body_suffix
from judged
where reason is not null
