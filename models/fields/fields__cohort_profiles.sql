-- One row per Lytics sync and person its cohort ever held: what the newest row of the file says of them.
with

syncs as (

    select
        sync_name,
        cohort_id
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
        snapshots.app_id as project,
        coalesce(namespaces.namespace, 'default') as namespace
    from {{ ref('stg_amplitude__cohort_members') }} as members
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

-- Somebody may stand in the file under several ids: the row of the canonical one speaks for all.
newest as (

    select
        of_persons.cohort_id,
        of_persons.person_id,
        of_persons.project,
        of_persons.left_at is null as is_member,
        of_persons.properties,
        persons.canonical_amplitude_id,
        persons.primary_user_id
    from of_persons
    inner join persons
        on of_persons.person_id = persons.person_id
    qualify row_number() over (
        partition by of_persons.cohort_id, of_persons.person_id
        order by
            of_persons.left_at desc nulls first,
            of_persons.properties is null,
            coalesce(
                cast(of_persons.amplitude_id as varchar) = persons.canonical_amplitude_id, false
            ) desc,
            of_persons.amplitude_id nulls last,
            of_persons.user_id nulls last,
            of_persons.entered_at desc
    ) = 1

),

with_columns as (

    select
        syncs.sync_name,
        newest.*,
        amplitude_ids.id_value as amplitude_id,
        user_ids.id_value as user_id,
        list_sort(list_filter(
            list_transform(
                {{ json_entries('newest.properties') }},
                lambda one: {'field': one.key, 'value_text': one.value ->> '$'}
            ),
            lambda one: one.value_text != '' and one.field not in (
                '', 'amplitude_id', 'user_id', 'cohort_id', 'cohort_name', 'cohort_membership',
                'last_computed', 'synced_at'
            )
        )) as columns
    from newest
    inner join syncs
        on newest.cohort_id = syncs.cohort_id
    left join unique_ids as amplitude_ids
        on
            amplitude_ids.id_type = 'amplitude_id'
            and newest.person_id = amplitude_ids.person_id
            and newest.canonical_amplitude_id = amplitude_ids.id_value
            and amplitude_ids.problem is null
    left join unique_ids as user_ids
        on
            user_ids.id_type = 'user_id'
            and newest.person_id = user_ids.person_id
            and newest.primary_user_id = user_ids.id_value
            and user_ids.problem is null

)

select
    -- keys
    sync_name,
    cohort_id,
    person_id,
    project,

    -- attributes
    is_member,
    amplitude_id,
    user_id,
    cast(
        '{' || coalesce(array_to_string(list_transform(
            columns, lambda one: to_json(one.field) || ':' || to_json(one.value_text)
        ), ','), '') || '}' as json
    ) as profile_columns
from with_columns
