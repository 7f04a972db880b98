-- One row per row that the file of a cohort synced to Lytics held for a run of snapshots: whose
-- it is, and its columns as the stream has them.
with

synced_cohorts as (

    select distinct cohort_id
    from {{ ref('stg_relay__syncs') }}
    where kind = 'cohort_sync' and destination = 'lytics'

),

snapshots as (

    select * from {{ ref('stg_amplitude__cohort_snapshots') }}
    where is_newest

),

namespaces as (

    select * from {{ ref('stg_relay__namespaces') }}

),

file_rows as (

    select
        *,
        list_sort(list_filter(
            list_transform(
                {{ json_entries('properties') }},
                lambda one: [one['key'], one['value'] ->> '$']
            ),
            lambda one: one[2] != '' and one[1] not in (
                '', 'amplitude_id', 'user_id', 'cohort_id', 'cohort_name', 'cohort_membership',
                'last_computed', 'synced_at'
            )
        )) as file_columns
    from {{ ref('stg_amplitude__cohort_members') }}

),

members as (

    select
        file_rows.*,
        coalesce(namespaces.namespace, 'default') as namespace
    from file_rows
    semi join synced_cohorts
        on file_rows.cohort_id = synced_cohorts.cohort_id
    inner join snapshots
        on file_rows.cohort_id = snapshots.cohort_id
    left join namespaces
        on snapshots.app_id = namespaces.project

),

unique_ids as (

    select * from {{ ref('fields__lytics_unique_ids') }}

),

-- The ids that a row of the person may carry: the key and, where there is one, the primary user id.
persons as (

    select
        persons.person_id,
        persons.canonical_amplitude_id,
        max(unique_ids.id_value) filter (
            where unique_ids.id_type = 'user_id' and unique_ids.id_value = persons.primary_user_id
        ) as user_id
    from {{ ref('identity__resolved_persons') }} as persons
    left join unique_ids
        on
            persons.person_id = unique_ids.person_id
            and unique_ids.problem is null
    group by persons.person_id, persons.canonical_amplitude_id

),

-- A row is of the person of its user id; without one, of its amplitude id.
of_persons as (

    select
        members.*,
        coalesce(by_user.person_id, by_amplitude.person_id) as person_id
    from members
    left join unique_ids as by_user
        on
            by_user.id_type = 'user_id'
            and members.namespace = by_user.namespace
            and members.user_id = by_user.id_value
    left join unique_ids as by_amplitude
        on
            by_amplitude.id_type = 'amplitude_id'
            and members.namespace = by_amplitude.namespace
            and cast(members.amplitude_id as varchar) = by_amplitude.id_value

)

select
    -- keys
    of_persons.cohort_id,
    of_persons.person_id,

    -- Of several rows of one person at one time the first by this speaks for all.
    row_number() over (
        partition by of_persons.cohort_id, of_persons.person_id
        order by
            of_persons.properties is null asc,
            cast(of_persons.amplitude_id as varchar) is not distinct from
            persons.canonical_amplitude_id desc,
            of_persons.amplitude_id asc nulls last,
            of_persons.user_id asc nulls last,
            of_persons.entered_at desc,
            cast(of_persons.properties as varchar) asc
    ) as preference,

    -- attributes
    persons.user_id,
    {{ json_object_of_pairs('of_persons.file_columns') }} as profile_columns,

    -- times
    of_persons.entered_at,
    of_persons.left_at
from of_persons
inner join persons
    on of_persons.person_id = persons.person_id
