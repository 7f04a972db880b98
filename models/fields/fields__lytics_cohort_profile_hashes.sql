-- One row per Lytics sync and key of a member: a hash of what the mapping takes from the
-- member's row, but for the cohort and the time it was computed; when it moves, the row is due
-- again (`refreshed`).
with

keys as (

    select * from {{ ref('identity__keys') }}
    where destination = 'lytics' and status = 'ok'

),

profiles as (

    select
        keys.sync_name,
        keys.key_type,
        keys.match_key,
        if(keys.key_type = 'amplitude_id', keys.key_value, null) as amplitude_id,
        cohort_profiles.user_id,
        cohort_profiles.profile_columns
    from keys
    inner join {{ ref('fields__lytics_cohort_profiles') }} as cohort_profiles
        on
            keys.cohort_id = cohort_profiles.cohort_id
            and keys.person_id = cohort_profiles.person_id
    where cohort_profiles.left_at is null
    qualify row_number() over (
        partition by keys.sync_name, keys.person_id
        order by cohort_profiles.preference
    ) = 1

),

mappings as (

    select * from {{ ref('fields__lytics_mappings') }}
    where stream = 'amplitude_cohorts' and is_applied

),

taken_apart as (

    select
        * exclude (profile_columns),
        unnest(map_entries(cast(profile_columns as map (varchar, json)))) as entry
    from profiles

),

profile_fields as (

    select
        sync_name,
        key_type,
        match_key,
        entry.key as field,
        entry.value ->> '$' as value_text
    from taken_apart
    union all
    select
        sync_name,
        key_type,
        match_key,
        unnest(['amplitude_id', 'user_id']) as field,
        unnest([amplitude_id, user_id]) as value_text
    from profiles

),

mapped as (

    select
        profile_fields.sync_name,
        profile_fields.key_type,
        profile_fields.match_key,
        list_sort(list([
            mappings.target_field, profile_fields.field, profile_fields.value_text
        ])) as mapped_fields
    from profile_fields
    inner join mappings
        on
            profile_fields.field in (mappings.source_field, mappings.value_field)
            or starts_with(profile_fields.field, mappings.name_prefix)
    group by profile_fields.sync_name, profile_fields.key_type, profile_fields.match_key

)

select
    sync_name,
    key_type,
    match_key,
    {{ hash_of(['mapped_fields']) }} as profile_hash
from mapped
