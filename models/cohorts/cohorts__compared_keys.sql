-- One row per sync, segment and key on which cohort and destination differ: the list it is in.
with

segments as (

    select * from {{ ref('cohorts__segments') }}
    where not is_unchanged

),

-- As `cohorts.desired_keys`, with the number of the segment. What the ledger knows of a key is
-- looked up later, for the few that differ: that is more than a join should keep in memory.
desired as (

    select
        segments.segment_number,
        member_keys.key_type,
        member_keys.match_key,
        member_keys.key_value,
        member_keys.person_id
    from {{ ref('identity__keys') }} as member_keys
    inner join segments
        on member_keys.sync_name = segments.sync_name and segments.is_current
    where member_keys.status = 'ok' and member_keys.is_first_of_key

),

known as (

    select
        segments.segment_number,
        known_keys.key_type,
        known_keys.match_key,
        known_keys.is_confirmed,
        known_keys.is_in_doubt,
        known_keys.is_in_doubt
        and segments.on_unknown = 'hold'
        and not known_keys.is_resend_decided as is_frozen,
        known_keys.is_parked,
        known_keys.cohort_name != segments.cohort_name as is_named_otherwise
    from {{ ref('ledger__confirmed_keys') }} as known_keys
    inner join segments
        on known_keys.sync_name = segments.sync_name and known_keys.segment = segments.segment

),

compared as (

    select
        segment_number,
        key_type,
        match_key,
        desired.key_value,
        desired.person_id,
        desired.person_id is not null as is_desired,
        coalesce(known.is_confirmed, false) as is_confirmed,
        coalesce(known.is_in_doubt, false) as is_in_doubt,
        coalesce(known.is_parked, false) as is_parked,
        coalesce(known.is_named_otherwise, false) as is_named_otherwise,
        -- Where a repeat may be harmful, what is in doubt waits for a person and is in no list.
        case
            when known.is_frozen then 'frozen'
            when desired.person_id is null
                then if(known.is_confirmed or known.is_in_doubt, 'removed', null)
            when known.is_confirmed and not known.is_in_doubt
                then if(known.is_named_otherwise, 'renamed', null)
            else 'added'
        end as list_name
    from desired
    full join known
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
    compared.key_value,
    compared.person_id,
    segments.is_current,
    compared.is_desired,
    compared.is_confirmed,
    compared.is_in_doubt,
    compared.is_parked,
    compared.is_named_otherwise
from compared
inner join segments
    on compared.segment_number = segments.segment_number
where compared.list_name is not null
