-- One row per row of Lytics' stream amplitude_cohorts: sent, as far as it still counts, or to
-- be sent.
with

changes as (

    select * from {{ ref('fields__lytics_cohort_changes') }}

),

snapshots as (

    select * from {{ ref('stg_amplitude__cohort_snapshots') }}
    where is_newest

),

unique_ids as (

    select * from {{ ref('fields__lytics_unique_ids') }}
    where problem is null

),

profiles as (

    select * from {{ ref('fields__lytics_cohort_profiles') }}

),

with_persons as (

    select
        changes.*,
        snapshots.app_id as project,
        unique_ids.person_id
    from changes
    inner join snapshots
        on changes.cohort_id = snapshots.cohort_id
    left join unique_ids
        on
            if(changes.key_type = 'amplitude_id', 'amplitude_id', 'user_id') = unique_ids.id_type
            and changes.key_value = unique_ids.id_value

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
rendered as (

    select
        *,
        if(key_type = 'amplitude_id', key_value, null) as amplitude_id,
        if(key_type = 'amplitude_id', known_user_id, key_value) as user_id,
        cast(to_json({
            -- Under its old name a cohort has no id: the entry of its id stays as it is.
            'cohort_id': if(phase = 1 and action = 'renamed', '', cohort_id),
            'cohort_name': cohort_name,
            'cohort_membership': phase = 2,
            'last_computed': strftime(last_computed_at, '%Y-%m-%dT%H:%M:%SZ'),
            'synced_at': strftime(synced_at, '%Y-%m-%dT%H:%M:%SZ')
        }) as varchar) as own_columns,
        nullif(cast(profile_columns as varchar), '{}') as known_columns
    from with_profiles

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
    cast(left(own_columns, -1) || coalesce(',' || substr(known_columns, 2), '}') as json)
        as stream_columns,

    -- order: by time, then by how fresh the cohort is, then by its id
    synced_at,
    {{ order_in_time(
        'synced_at',
        'cast(epoch(last_computed_at) as ubigint) * 4294967296'
        ' + md5_number_lower(cohort_id) // 4294967296'
    ) }} as order_key
from rendered
