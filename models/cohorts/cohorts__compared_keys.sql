-- One row per sync, segment and key on which cohort and destination differ: the list it is in.
-- Looked for where something may have changed since the last build. That is all there is if what is
-- left of both sides adds up to the same; of a segment where it does not, every key is compared.
{{
    config(
        materialized='incremental',
        incremental_strategy='replace_all'
    )
}}
-- Fewer than the engine expects: by its guess each of two conditions lets a fifth of a side
-- through, and a join to segments a sixtieth.
{% set expected_desired = '(select desired_count // 32 from totals)' -%}
{% set expected_known = '(select known_count // 32 from totals)' -%}
{% set expected_desired_in_segments = '(select desired_count // 64 from totals)' -%}
{% set expected_known_in_segments = '(select known_count // 64 from totals)' -%}

with

segments as (

    select * from {{ ref('cohorts__segments') }}
    where not is_unchanged

),

totals as (

    select
        cast(sum(keys_count) as bigint) as desired_count,
        cast(sum(confirmed_count) as bigint) as known_count
    from {{ ref('cohorts__segments') }}

),

-- As `cohorts.desired_keys`, without its segments.
desired as not materialized (

    select * from {{ ref('identity__keys') }}
    where key_hash is not null

),

known as not materialized (

    select * from {{ ref('ledger__confirmed_keys') }}

),

-- What differed at the last build, who was touched by this one, and what is in doubt or refused.
suspects as materialized (

    {% if is_incremental() -%}
        select
            sync_name,
            key_hash
        from {{ this }}
        union all
    {% endif -%}
    select
        sync_name,
        key_hash
    from {{ ref('identity__replaced_keys') }}
    where key_hash is not null
    union all
    select
        desired.sync_name,
        desired.key_hash
    from desired
    inner join {{ ref('identity__scope') }} as scope
        on desired.build_number >= scope.build_number
    where not scope.keys_is_new
    -- Nearly no key is in doubt or refused: of row groups without a value nothing else is read.
    union all
    select
        sync_name,
        key_hash
    from known
    where is_in_doubt and doubt_seq is not null
    union all
    select
        sync_name,
        key_hash
    from known
    where is_parked and rejected_payload_hash is not null

),

-- Of a sync with more, as after its first plan, it is less work to compare all keys.
syncs_with_few as (

    select counted.sync_name
    from (
        select
            sync_name,
            count(*) as suspects_count
        from suspects
        group by sync_name
    ) as counted
    inner join segments
        on counted.sync_name = segments.sync_name
    group by counted.sync_name, counted.suspects_count
    having
        counted.suspects_count
        <= greatest(1000, sum(greatest(segments.keys_count, segments.confirmed_count)) // 4)

),

few_suspects as materialized (

    -- From a list, so that the engine takes them for few: else it looks for all keys among them.
    select unnest(key_hashes) as key_hash
    from (
        select list(distinct suspects.key_hash) as key_hashes
        from suspects
        semi join syncs_with_few
            on suspects.sync_name = syncs_with_few.sync_name
    ) as listed

),

suspects_desired as materialized (

    select
        sync_name,
        key_hash,
        key_type,
        match_key,
        key_value,
        anchor_key
    from desired
    where
        sync_name in (
            select segments.sync_name from segments
        )
        and key_hash in ({{ keys_of('few_suspects', 'key_hash', expected_desired) }})

),

suspects_known as materialized (

    select * from known
    where
        sync_name in (
            select segments.sync_name from segments
        )
        and key_hash in ({{ keys_of('few_suspects', 'key_hash', expected_known) }})

),

suspects_wanted as (

    select
        segments.segment_number,
        suspects_desired.* exclude (sync_name)  -- noqa: RF02
    from suspects_desired
    inner join segments
        on suspects_desired.sync_name = segments.sync_name and segments.is_current

),

suspects_told as (

    select
        segments.segment_number,
        suspects_known.*
    from suspects_known
    inner join segments
        on
            suspects_known.sync_name = segments.sync_name
            and suspects_known.segment = segments.segment

),

wanted_sums as (

    select
        segment_number,
        count(*) as keys_count,
        bit_xor(key_hash) as keys_hash
    from suspects_wanted
    group by segment_number

),

told_sums as (

    select
        segment_number,
        count(*) filter (where is_confirmed) as confirmed_count,
        count(*) filter (where is_in_doubt) as in_doubt_count,
        bit_xor(key_hash) filter (where is_confirmed) as confirmed_hash
    from suspects_told
    group by segment_number

),

-- Whole sums without those of the suspects are what is left of both sides.
unproven as materialized (

    select segments.*
    from segments
    left join wanted_sums
        on segments.segment_number = wanted_sums.segment_number
    left join told_sums
        on segments.segment_number = told_sums.segment_number
    where (
        segments.is_one_name
        and segments.keys_count - coalesce(wanted_sums.keys_count, 0)
        = segments.confirmed_count - coalesce(told_sums.confirmed_count, 0)
        and segments.in_doubt_count = coalesce(told_sums.in_doubt_count, 0)
        and xor(segments.keys_hash, coalesce(wanted_sums.keys_hash, 0))
        = xor(segments.confirmed_hash, coalesce(told_sums.confirmed_hash, 0))
    ) is not true

),

-- Nearly every key is wanted just where it is settled. Both sides of such a key take each other
-- out, so that only the others are read in full: those of one hash, of whichever segment. Where a
-- side was hashed by another version of the engine, more keys are read, and no fewer: also under
-- the hash by which the ledger has what is in doubt or refused.
sides as (

    select
        desired.key_hash,
        hash(segments.segment_number) as side
    from desired
    inner join unproven as segments
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
    inner join unproven as segments
        on known.sync_name = segments.sync_name and known.segment = segments.segment
    where known.is_confirmed

),

unsettled as materialized (

    select key_hash from sides
    group by key_hash
    having bit_xor(side) != 0
    union all
    select known.key_hash
    from known
    inner join unproven as segments
        on known.sync_name = segments.sync_name and known.segment = segments.segment
    where known.is_in_doubt or known.is_parked

),

wanted as (

    select suspects_wanted.* from suspects_wanted
    anti join unproven
        on suspects_wanted.segment_number = unproven.segment_number
    union all by name
    select
        segments.segment_number,
        desired.key_hash,
        desired.key_type,
        desired.match_key,
        desired.key_value,
        desired.anchor_key
    from desired
    inner join unproven as segments
        on desired.sync_name = segments.sync_name and segments.is_current
    where
        desired.key_hash in (
            {{ keys_of('unsettled', 'key_hash', expected_desired_in_segments) }}
        )

),

told_keys as (

    select suspects_told.* from suspects_told
    anti join unproven
        on suspects_told.segment_number = unproven.segment_number
    union all by name
    select
        segments.segment_number,
        known.*
    from known
    inner join unproven as segments
        on known.sync_name = segments.sync_name and known.segment = segments.segment
    where known.key_hash in ({{ keys_of('unsettled', 'key_hash', expected_known_in_segments) }})

),

told as (

    select
        told_keys.*,
        told_keys.is_in_doubt
        and segments.on_unknown = 'hold'
        and not told_keys.is_resend_decided as is_frozen,
        told_keys.cohort_name != segments.cohort_name as is_named_otherwise
    from told_keys
    inner join segments
        on told_keys.segment_number = segments.segment_number

),

compared as (

    select
        segment_number,
        key_type,
        match_key,
        coalesce(wanted.key_hash, told.key_hash) as key_hash,
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
        if(told.is_parked, told.rejected_payload_hash, null) as rejected_payload_hash,
        if(told.is_parked, told.rejection_code, null) as rejection_code,
        if(told.is_parked, told.rejection_text, null) as rejection_text,
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
    compared.key_hash,

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
    compared.rejected_payload_hash,
    compared.rejection_code,
    compared.rejection_text
from compared
inner join segments
    on compared.segment_number = segments.segment_number
where compared.list_name is not null
