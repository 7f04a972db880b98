-- One row per sync, segment and key on which cohort and destination differ: the list it is in.
with

segments as (

    select * from {{ ref('cohorts__segments') }}
    where not is_unchanged

),

-- As `cohorts.desired_keys`, without its segments.
desired as not materialized (

    select * from {{ ref('identity__keys') }}
    where key_hash is not null

),

known as not materialized (

    select * from {{ ref('ledger__confirmed_keys') }}

),

-- Of nearly every key nothing was refused: told by its value, so that nothing is read of them.
refused as (

    select
        sync_name,
        segment,
        key_type,
        match_key,
        rejected_payload_hash,
        rejection_code,
        rejection_text
    from known
    where is_parked = true

),

-- Nearly every key is wanted just where it is settled. Both sides of such a key take each other
-- out, so that only the others are read in full: those of one hash, of whichever segment. Where a
-- side was hashed by another version of the engine, more keys are read, and no fewer.
sides as (

    select
        desired.key_hash,
        hash(segments.segment_number) as side
    from desired
    inner join segments
        on desired.sync_name = segments.sync_name and segments.is_current
    union all
    select
        known.key_hash,
        hash(
            if(
                known.cohort_name != segments.cohort_name,
                -segments.segment_number,
                segments.segment_number
            )
        ) as side
    from known
    inner join segments
        on known.sync_name = segments.sync_name and known.segment = segments.segment
    where known.is_confirmed

),

unsettled as (

    select key_hash from sides
    group by key_hash
    having bit_xor(side) != 0
    union all
    select key_hash from known
    where is_in_doubt = true

),

wanted as (

    select
        segments.segment_number,
        desired.key_type,
        desired.match_key,
        desired.key_value,
        desired.anchor_key
    from desired
    inner join segments
        on desired.sync_name = segments.sync_name and segments.is_current
    where desired.key_hash in ({{ keys_of('unsettled', 'key_hash') }})

),

told as (

    select
        segments.segment_number,
        known.* exclude (rejected_payload_hash, rejection_code, rejection_text),  -- noqa: RF02
        known.is_in_doubt
        and segments.on_unknown = 'hold'
        and not known.is_resend_decided as is_frozen,
        known.cohort_name != segments.cohort_name as is_named_otherwise
    from known
    inner join segments
        on known.sync_name = segments.sync_name and known.segment = segments.segment
    where known.key_hash in ({{ keys_of('unsettled', 'key_hash') }})

),

compared as (

    select
        segment_number,
        key_type,
        match_key,
        wanted.key_value,
        wanted.anchor_key,
        wanted.anchor_key is not null as is_desired,
        coalesce(told.is_confirmed, false) as is_confirmed,
        coalesce(told.is_in_doubt, false) as is_in_doubt,
        coalesce(told.is_parked, false) as is_parked,
        coalesce(told.is_named_otherwise, false) as is_named_otherwise,
        told.key_value as known_key_value,
        told.cohort_name as known_cohort_name,
        told.person_ids as known_person_ids,
        told.anchors as known_anchors,
        -- Where a repeat may be harmful, what is in doubt waits for a person and is in no list.
        case
            when told.is_frozen then 'frozen'
            when wanted.anchor_key is null
                then if(told.is_confirmed or told.is_in_doubt, 'removed', null)
            when told.is_confirmed and not told.is_in_doubt
                then if(told.is_named_otherwise, 'renamed', null)
            else 'added'
        end as list_name
    from wanted
    full join told
        using (segment_number, key_type, match_key)

)

select
    -- keys
    segments.sync_name,
    segments.segment,
    compared.key_type,
    compared.match_key,

    -- the comparison
    compared.list_name,
    segments.is_current,
    compared.is_desired,
    compared.is_confirmed,
    compared.is_in_doubt,
    compared.is_parked,
    compared.is_named_otherwise,

    -- as it is to be sent
    compared.key_value,
    compared.anchor_key,

    -- as it was last sent, and what was refused
    compared.known_key_value,
    compared.known_cohort_name,
    compared.known_person_ids,
    compared.known_anchors,
    refused.rejected_payload_hash,
    refused.rejection_code,
    refused.rejection_text
from compared
inner join segments
    on compared.segment_number = segments.segment_number
left join refused
    on
        segments.sync_name = refused.sync_name
        and segments.segment = refused.segment
        and compared.key_type = refused.key_type
        and compared.match_key = refused.match_key
where compared.list_name is not null
