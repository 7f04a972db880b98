-- One row per cohort sync and step from the members in Amplitude to the confirmed: how many, why.
with

syncs as (

    select * from {{ ref('cohorts__sync_totals') }}

),

snapshots as (

    select * from {{ ref('stg_amplitude__cohort_snapshots') }}
    where is_newest

),

-- Rows of the newest snapshots that name somebody.
members as (

    select
        open_cohort_id as cohort_id,
        sum(open_rows_count) as rows_count
    from {{ ref('identity__attributed_sightings') }}
    where open_cohort_id is not null and identifier_key is not null
    group by open_cohort_id

),

keys as (

    select
        sync_name,
        status,
        detail,
        count(*) as persons_count,
        count(*) filter (where is_first_of_key) as keys_count
    from {{ ref('identity__keys') }}
    group by sync_name, status, detail

),

persons as (

    select
        sync_name,
        sum(persons_count) as persons_count
    from keys
    group by sync_name

),

confirmed as (

    select
        sync_name,
        count(*) filter (where is_confirmed) as confirmed_count
    from {{ ref('ledger__confirmed_keys') }}
    group by sync_name

),

counted as (

    select
        syncs.sync_name,
        syncs.destination,
        syncs.cohort_id,
        syncs.snapshot_cohort_name as cohort_name,
        syncs.state,
        syncs.no_snapshot_reason,
        syncs.last_computed_at,
        -- The two differ only in a snapshot that was accepted all the same.
        coalesce(snapshots.declared_size, snapshots.row_count, 0) as amplitude_count,
        coalesce(snapshots.row_count, 0) as profiles_count,
        coalesce(members.rows_count, 0) as rows_count,
        coalesce(persons.persons_count, 0) as persons_count,
        coalesce(confirmed.confirmed_count, 0) as confirmed_count
    from syncs
    left join snapshots
        on syncs.snapshot_id = snapshots.snapshot_id
    left join members
        on syncs.cohort_id = members.cohort_id
    left join persons
        on syncs.sync_name = persons.sync_name
    left join confirmed
        on syncs.sync_name = confirmed.sync_name

),

of_keys as (

    select
        sync_name,
        kind,
        reason,
        -- A refused addition and a refused removal are two steps, not none.
        if(difference < 0, 5, 6) as step,
        sum(difference) as difference
    from {{ ref('reports__key_differences') }}
    group by sync_name, kind, reason, step

),

steps as (

    select
        sync_name,
        0 as step,
        'accepted_snapshot' as kind,
        'size_differs' as reason,
        profiles_count - amplitude_count as difference
    from counted
    where no_snapshot_reason is null
    union all
    select
        sync_name,
        1 as step,
        'unidentifiable' as kind,
        'no_usable_id' as reason,
        rows_count - profiles_count as difference
    from counted
    where no_snapshot_reason is null
    union all
    select
        sync_name,
        2 as step,
        'same_person' as kind,
        'several_profiles' as reason,
        persons_count - rows_count as difference
    from counted
    where no_snapshot_reason is null
    union all
    select
        keys.sync_name,
        3 as step,
        if(keys.status = 'suppressed', 'suppressed', 'unaddressable') as kind,
        concat_ws(': ', keys.status, keys.detail) as reason,
        -keys.persons_count as difference
    from keys
    inner join counted
        on keys.sync_name = counted.sync_name and counted.no_snapshot_reason is null
    where keys.status != 'ok'
    union all
    select
        keys.sync_name,
        4 as step,
        'same_key' as kind,
        'several_persons' as reason,
        sum(keys.keys_count - keys.persons_count) as difference
    from keys
    inner join counted
        on keys.sync_name = counted.sync_name and counted.no_snapshot_reason is null
    where keys.status = 'ok'
    group by keys.sync_name
    union all
    select
        sync_name,
        step,
        kind,
        reason,
        difference
    from of_keys
    union all
    select
        sync_name,
        7 as step,
        'not_compared' as kind,
        no_snapshot_reason as reason,
        confirmed_count - amplitude_count as difference
    from counted
    where no_snapshot_reason is not null

),

different as (

    select * from steps
    where difference != 0

),

planned as (

    select
        sync_name,
        sum(difference) as difference
    from of_keys
    where kind in ('to_add', 'to_remove')
    group by sync_name

)

select
    -- keys
    counted.cohort_id,
    counted.sync_name,
    counted.destination,
    coalesce(different.step, 0) as step,
    coalesce(different.kind, 'none') as kind,
    different.reason,

    -- attributes
    counted.cohort_name,
    counted.state,
    counted.amplitude_count,
    cast(coalesce(different.difference, 0) as bigint) as difference,
    counted.confirmed_count,
    -- What is confirmed once everything planned is delivered.
    cast(counted.confirmed_count - coalesce(planned.difference, 0) as bigint) as forecast_count,

    -- times
    counted.last_computed_at
from counted
left join different
    on counted.sync_name = different.sync_name
left join planned
    on counted.sync_name = planned.sync_name
