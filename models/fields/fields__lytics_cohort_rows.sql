-- One row per row of Lytics' stream amplitude_cohorts: those that were sent, as far as they still count,
-- and those that are to be sent.
with

changes as (

    select * from {{ ref('cohorts__membership_changes') }}
    where destination = 'lytics' and not is_parked

),

syncs as (

    select * from {{ ref('cohorts__current_syncs') }}

),

settings as (

    select * from {{ ref('stg_relay__settings') }}

),

plan_syncs as (

    select * from {{ ref('stg_ledger__plan_syncs') }}

),

snapshots as (

    select * from {{ ref('stg_amplitude__cohort_snapshots') }}

),

newest_snapshots as (

    select * from snapshots
    where is_newest

),

profiles as (

    select * from {{ ref('fields__cohort_profiles') }}

),

unique_ids as (

    select * from {{ ref('fields__lytics_unique_ids') }}

),

-- Of the rows with one name of a cohort and one key the last one holds.
sent as (

    select
        *,
        date_trunc('second', planned_at) as plan_time
    from {{ ref('ledger__row_outcomes') }}
    where
        destination = 'lytics'
        and sync_kind = 'cohort_sync'
        and outcome in ('delivered', 'unknown')
    qualify row_number() over (
        partition by sync_name, key_type, match_key, cohort_name
        order by planned_at desc, phase desc, plan_id desc
    ) = 1

),

rows_of_both as (

    select
        true as is_pending,
        changes.change_id as row_id,
        changes.sync_name,
        changes.cohort_id,
        changes.cohort_name,
        changes.phase,
        changes.action,
        changes.key_type,
        changes.match_key,
        changes.key_value,
        syncs.last_computed_at,
        date_trunc('second', settings.planned_at) as plan_time
    from changes
    cross join settings
    inner join syncs
        on changes.sync_name = syncs.sync_name

    union all

    select
        false as is_pending,
        sent.plan_id || ' ' || sent.change_id as row_id,
        sent.sync_name,
        sent.cohort_id,
        sent.cohort_name,
        sent.phase,
        sent.action,
        sent.key_type,
        sent.match_key,
        sent.key_value,
        snapshots.last_computed_at,
        sent.plan_time
    from sent
    left join plan_syncs
        on sent.plan_id = plan_syncs.plan_id and sent.sync_name = plan_syncs.sync_name
    left join snapshots
        on plan_syncs.snapshot_id = snapshots.snapshot_id

),

with_persons as (

    select
        rows_of_both.*,
        newest_snapshots.app_id as project,
        unique_ids.person_id
    from rows_of_both
    inner join newest_snapshots
        on rows_of_both.cohort_id = newest_snapshots.cohort_id
    left join unique_ids
        on
            if(rows_of_both.key_type = 'amplitude_id', 'amplitude_id', 'user_id')
            = unique_ids.id_type
            and rows_of_both.key_value = unique_ids.id_value
            and unique_ids.problem is null

),

-- What the file said of the person at the time of the snapshot that the row is from.
with_profiles as (

    select
        with_persons.*,
        profiles.user_id as known_user_id,
        profiles.profile_columns
    from with_persons
    left join profiles
        on
            with_persons.phase = 2
            and with_persons.cohort_id = profiles.cohort_id
            and with_persons.person_id = profiles.person_id
            and with_persons.last_computed_at >= profiles.entered_at
            and with_persons.last_computed_at < coalesce(profiles.left_at, timestamp 'infinity')
    qualify row_number() over (
        partition by with_persons.row_id
        order by profiles.preference
    ) = 1

),

-- A removal carries the key alone: the other id would stitch the old key to whoever holds it now.
with_ids as (

    select
        *,
        if(key_type = 'amplitude_id', key_value, null) as amplitude_id,
        if(key_type = 'amplitude_id', known_user_id, key_value) as user_id,
        -- Additions follow removals by a second: Lytics goes by the time of a row, not of its arrival.
        plan_time + to_seconds(phase - 1) as synced_at
    from with_profiles

),

rendered as (

    select
        *,
        to_json({
            -- Under its old name a cohort has no id: the entry of its id stays as it is.
            'cohort_id': if(phase = 1 and action = 'renamed', '', cohort_id),
            'cohort_name': cohort_name,
            'cohort_membership': phase = 2,
            'last_computed': strftime(last_computed_at, '%Y-%m-%dT%H:%M:%SZ'),
            'synced_at': strftime(synced_at, '%Y-%m-%dT%H:%M:%SZ')
        }) as own_columns
    from with_ids

)

select
    -- keys
    is_pending,
    row_id,
    sync_name,
    cohort_id,
    {{ lytics_fragment_id('project', 'amplitude_id', 'user_id') }} as fragment_id,
    project,
    amplitude_id,
    user_id,

    -- attributes
    cast(
        left(cast(own_columns as varchar), -1)
        || if(
            coalesce(profile_columns, '{}') = '{}',
            '}',
            ',' || substr(cast(profile_columns as varchar), 2)
        ) as json
    ) as stream_columns,

    -- order: by time, then by how fresh the cohort is, then by its id
    synced_at,
    {{ order_in_time(
        'synced_at',
        'cast(epoch(last_computed_at) as ubigint) * 4294967296'
        ' + md5_number_lower(cohort_id) // 4294967296'
    ) }} as order_key
from rendered
