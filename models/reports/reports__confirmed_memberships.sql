-- One row per sync, segment, key and unbroken time of confirmed membership (time of the answers).
with

delivered as (

    select
        *,
        {{ segment_of('destination', 'cohort_id', 'cohort_name') }} as segment,
        action != 'removed' as is_member
    from {{ ref('ledger__row_outcomes') }}
    where
        sync_kind = 'cohort_sync'
        and outcome = 'delivered'

),

with_previous as (

    select
        *,
        coalesce(
            lag(is_member) over (
                partition by sync_name, segment, key_type, match_key
                order by delivered_seq, phase, row_position
            ),
            false
        ) as was_member
    from delivered

),

-- Re-assertions and new names change nothing; what is left alternates between in and out.
turns as (

    select * from with_previous
    where is_member != was_member

),

paired as (

    select
        *,
        lead(settled_at) over (
            partition by sync_name, segment, key_type, match_key
            order by delivered_seq, phase, row_position
        ) as valid_to
    from turns

)

select
    destination,
    sync_name,
    cohort_id,
    cohort_name,
    key_type,
    key_value,
    match_key,
    person_ids,
    settled_at as valid_from,
    valid_to
from paired
-- What a person later declared delivered may have ended by then.
where is_member and (valid_to is null or valid_to > settled_at)
