-- One row per sync, segment and key on which the cohort and its destination differ: the list it is in.
with

segments as (

    select * from {{ ref('cohorts__segments') }}
    where not is_unchanged

),

-- Narrow on both sides; what else is known of a key is looked up later, for the few that differ.
desired as (

    select
        segments.segment_number,
        keys.key_type,
        keys.match_key,
        true as is_desired
    from {{ ref('cohorts__desired_keys') }} as keys
    inner join segments
        on keys.sync_name = segments.sync_name and keys.segment = segments.segment

),

known as (

    select
        segments.segment_number,
        keys.key_type,
        keys.match_key,
        keys.is_confirmed,
        keys.is_in_doubt,
        keys.is_in_doubt
        and segments.on_unknown = 'hold'
        and not keys.is_resend_decided as is_frozen,
        keys.is_parked,
        keys.cohort_name != segments.cohort_name as is_named_otherwise
    from {{ ref('ledger__confirmed_keys') }} as keys
    inner join segments
        on keys.sync_name = segments.sync_name and keys.segment = segments.segment

),

compared as (

    select
        segment_number,
        key_type,
        match_key,
        coalesce(desired.is_desired, false) as is_desired,
        coalesce(known.is_confirmed, false) as is_confirmed,
        coalesce(known.is_in_doubt, false) as is_in_doubt,
        coalesce(known.is_parked, false) as is_parked,
        coalesce(known.is_named_otherwise, false) as is_named_otherwise,
        -- Where a repeat may be harmful, what is in doubt waits for a person and is in no list.
        case
            when known.is_frozen then 'frozen'
            when desired.is_desired is null
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
