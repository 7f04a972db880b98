-- One row per user whose CleverTap identity is to be set in Amplitude, in the order of the file.
with

identifications as (

    select * from {{ ref('events__identifications') }}
    where drop_reason is null and not is_repeated

),

delivered as (

    select
        change_id,
        arg_max(payload_hash, delivered_seq) as payload_hash
    from {{ ref('ledger__row_outcomes') }}
    where sync_kind = 'identify' and outcome = 'delivered'
    group by change_id

),

keyed as (

    select
        *,
        {{ hash_of(["'identify'", 'user_id']) }} as change_id
    from identifications

)

select
    -- keys
    '_identify' as sync_name,
    'amplitude' as destination,
    cast(null as varchar) as cohort_id,
    cast(null as varchar) as cohort_name,
    row_number() over (
        order by keyed.line
    ) as position,
    2 as phase,
    keyed.change_id,

    -- the change
    'added' as action,
    if(delivered.change_id is null, 'set', 'changed') as reason,
    'user_id' as key_type,
    keyed.user_id as key_value,
    keyed.user_id as match_key,
    cast([] as varchar[]) as person_ids,
    cast([] as varchar[]) as anchors,
    keyed.payload_hash,

    -- what is sent, as one field of a form; Amplitude's key is added by the sender
    keyed.record,
    '[' as body_prefix,
    ']' as body_suffix
from keyed
left join delivered
    on keyed.change_id = delivered.change_id
-- What was set to the very same before is set.
where delivered.payload_hash is distinct from keyed.payload_hash
