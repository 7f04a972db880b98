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

-- A removal carries the key alone: the other id would stitch the old key to whoever holds it now.
of_persons as (

    select
        rows_of_both.*,
        profiles.project,
        if(rows_of_both.key_type = 'amplitude_id', rows_of_both.key_value, null) as amplitude_id,
        case
            when rows_of_both.key_type != 'amplitude_id' then rows_of_both.key_value
            when rows_of_both.phase = 2 then profiles.user_id
        end as user_id,
        if(rows_of_both.phase = 2, profiles.profile_columns, cast('{}' as json)) as profile_columns,
        -- Additions follow removals by a second: Lytics goes by the time of a row, not of its arrival.
        rows_of_both.plan_time + to_seconds(rows_of_both.phase - 1) as synced_at
    from rows_of_both
    left join unique_ids
        on
            unique_ids.id_type = if(rows_of_both.key_type = 'amplitude_id', 'amplitude_id', 'user_id')
            and rows_of_both.key_value = unique_ids.id_value
            and unique_ids.problem is null
    left join profiles
        on
            rows_of_both.sync_name = profiles.sync_name
            and unique_ids.person_id = profiles.person_id

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
    from of_persons

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
        || if(profile_columns = '{}', '}', ',' || substr(cast(profile_columns as varchar), 2))
        as json
    ) as stream_columns,

    -- order: by time, then by how fresh the cohort is, then by its id
    synced_at,
    {{ order_in_time(
        'synced_at',
        'cast(epoch(last_computed_at) as ubigint) * 4294967296'
        ' + md5_number_lower(cohort_id) // 4294967296'
    ) }} as order_key
from rendered
