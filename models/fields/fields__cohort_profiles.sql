-- One row per row that a cohort's file held for a run of snapshots, of cohorts that go to Lytics: whose it
-- is, and its columns as Lytics' stream has them.
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

members as (

    select
        members.*,
        coalesce(namespaces.namespace, 'default') as namespace
    from {{ ref('stg_amplitude__cohort_members') }} as members
    semi join synced_cohorts
        on members.cohort_id = synced_cohorts.cohort_id
    inner join snapshots
        on members.cohort_id = snapshots.cohort_id
    left join namespaces
        on snapshots.app_id = namespaces.project

),

unique_ids as (

    select * from {{ ref('fields__lytics_unique_ids') }}

),

persons as (

    select * from {{ ref('identity__persons') }}

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
    where coalesce(by_user.person_id, by_amplitude.person_id) is not null

),

with_columns as (

    select
        of_persons.*,
        persons.canonical_amplitude_id,
        persons.primary_user_id,
        list_sort(list_filter(
            list_transform(
                {{ json_entries('of_persons.properties') }},
                lambda one: {'field': one.key, 'value_text': one.value ->> '$'}
            ),
            lambda one: one.value_text != '' and one.field not in (
                '', 'amplitude_id', 'user_id', 'cohort_id', 'cohort_name', 'cohort_membership',
                'last_computed', 'synced_at'
            )
        )) as columns
    from of_persons
    inner join persons
        on of_persons.person_id = persons.person_id

)

select
    -- keys
    with_columns.cohort_id,
    with_columns.person_id,

    -- Of several rows of one person at one time the first by this speaks for all.
    row_number() over (
        partition by with_columns.cohort_id, with_columns.person_id
        order by
            with_columns.properties is null,
            coalesce(
                cast(with_columns.amplitude_id as varchar) = with_columns.canonical_amplitude_id,
                false
            ) desc,
            with_columns.amplitude_id nulls last,
            with_columns.user_id nulls last,
            with_columns.entered_at desc,
            cast(with_columns.properties as varchar)
    ) as preference,

    -- attributes
    amplitude_ids.id_value as amplitude_id,
    user_ids.id_value as user_id,
    cast(
        '{' || coalesce(array_to_string(list_transform(
            with_columns.columns, lambda one: to_json(one.field) || ':' || to_json(one.value_text)
        ), ','), '') || '}' as json
    ) as profile_columns,

    -- times
    with_columns.entered_at,
    with_columns.left_at
from with_columns
left join unique_ids as amplitude_ids
    on
        amplitude_ids.id_type = 'amplitude_id'
        and amplitude_ids.problem is null
        and with_columns.person_id = amplitude_ids.person_id
        and with_columns.canonical_amplitude_id = amplitude_ids.id_value
left join unique_ids as user_ids
    on
        user_ids.id_type = 'user_id'
        and user_ids.problem is null
        and with_columns.person_id = user_ids.person_id
        and with_columns.primary_user_id = user_ids.id_value
