-- One row per sync and segment, now or before: the keys wanted and known there, counted and hashed.
with

syncs as (

    select * from {{ ref('cohorts__current_syncs') }}
    where no_snapshot_reason is null

),

desired as (

    select
        sync_name,
        count(*) as members_count,
        count(key_hash) as keys_count,
        -- Tells two sets apart whatever their order.
        bit_xor(key_hash) as keys_hash
    from {{ ref('identity__keys') }}
    group by sync_name

),

known as (

    select * from {{ ref('ledger__segments') }}

),

segments as (

    select
        sync_name,
        segment,
        true as is_current
    from syncs
    union all
    select
        known.sync_name,
        known.segment,
        false as is_current
    from known
    inner join syncs
        on known.sync_name = syncs.sync_name and known.segment != syncs.segment

)

select
    -- keys
    row_number() over (
        order by segments.sync_name, segments.segment
    ) as segment_number,
    segments.sync_name,
    segments.segment,

    -- attributes
    segments.is_current,
    syncs.cohort_name,
    syncs.on_unknown,
    coalesce(desired.members_count, 0) as members_count,
    coalesce(desired.keys_count, 0) as keys_count,
    coalesce(known.confirmed_count, 0) as confirmed_count,
    coalesce(known.in_doubt_count, 0) as in_doubt_count,
    coalesce(desired.keys_hash, 0) as keys_hash,
    coalesce(known.confirmed_hash, 0) as confirmed_hash,
    -- Then a key that is wanted, confirmed and not in doubt is settled.
    segments.is_current
    and coalesce(known.smallest_cohort_name, syncs.cohort_name) = syncs.cohort_name
    and coalesce(known.largest_cohort_name, syncs.cohort_name) = syncs.cohort_name as is_one_name,
    -- The same keys on both sides, and no question open: there is nothing to compare.
    is_one_name
    and coalesce(desired.keys_count, 0) = coalesce(known.confirmed_count, 0)
    and coalesce(desired.keys_hash, 0) = coalesce(known.confirmed_hash, 0)
    and coalesce(known.in_doubt_count, 0) = 0 as is_unchanged
from segments
inner join syncs
    on segments.sync_name = syncs.sync_name
left join desired
    on segments.sync_name = desired.sync_name and segments.is_current
left join known
    on segments.sync_name = known.sync_name and segments.segment = known.segment
