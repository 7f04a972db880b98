-- One row per sync, segment and key that is desired, confirmed or in doubt: which list it is in.
with

desired as (

    select * from {{ ref('cohorts__desired_keys') }}

),

syncs as (

    select * from {{ ref('cohorts__current_syncs') }}
    where no_snapshot_reason is null

),

known as (

    select * from {{ ref('ledger__confirmed_keys') }}

),

compared as (

    select
        sync_name,
        segment,
        key_type,
        match_key,
        coalesce(desired.key_value, known.key_value) as key_value,
        known.key_value as known_key_value,
        known.cohort_name as known_cohort_name,
        coalesce(desired.person_ids, known.person_ids) as person_ids,
        coalesce(desired.anchors, known.anchors) as anchors,
        known.anchors as known_anchors,
        desired.match_key is not null as is_desired,
        coalesce(known.is_confirmed, false) as is_confirmed,
        coalesce(known.is_in_doubt, false) as is_in_doubt,
        coalesce(known.is_parked, false) as is_parked,
        known.rejected_payload_hash,
        known.delivered_payload_hash
    from desired
    full join known
        using (sync_name, segment, key_type, match_key)

)

select
    compared.*,
    -- Where a repeat may be harmful, what is in doubt waits for a person and is in no list.
    case
        when compared.is_in_doubt and syncs.on_unknown = 'hold' then 'frozen'
        when
            compared.is_desired and compared.is_confirmed and not compared.is_in_doubt
            then 'unchanged'
        when compared.is_desired then 'added'
        when compared.is_confirmed or compared.is_in_doubt then 'removed'
    end as list_name
from compared
inner join syncs
    on compared.sync_name = syncs.sync_name
