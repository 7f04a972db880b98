-- One row per Lytics sync and key of a member: a hash of what the mapping takes from the member's row, but
-- for the cohort and the time it was computed; when it moves, the row is due again (`refreshed`).
with

profiles as (

    select * from {{ ref('fields__cohort_profiles') }}
    where is_member

),

keys as (

    select * from {{ ref('identity__keys') }}
    where destination = 'lytics' and status = 'ok'

),

mappings as (

    select * from {{ ref('fields__lytics_mappings') }}
    where stream = 'amplitude_cohorts' and is_applied

),

taken_apart as (

    select
        sync_name,
        person_id,
        unnest(map_entries(cast(profile_columns as map(varchar, json)))) as entry
    from profiles

),

profile_fields as (

    select
        sync_name,
        person_id,
        entry.key as field,
        entry.value ->> '$' as value_text
    from taken_apart
    union all
    select
        sync_name,
        person_id,
        'amplitude_id' as field,
        amplitude_id as value_text
    from profiles
    where amplitude_id is not null
    union all
    select
        sync_name,
        person_id,
        'user_id' as field,
        user_id as value_text
    from profiles
    where user_id is not null

),

mapped as (

    select
        profile_fields.sync_name,
        profile_fields.person_id,
        list_sort(list(
            {
                'target_field': mappings.target_field,
                'field': profile_fields.field,
                'value_text': profile_fields.value_text
            }
        )) as mapped_fields
    from profile_fields
    inner join mappings
        on
            profile_fields.field in (mappings.source_field, mappings.value_field)
            or starts_with(profile_fields.field, mappings.prefix)
    group by profile_fields.sync_name, profile_fields.person_id

)

select
    keys.sync_name,
    keys.key_type,
    keys.match_key,
    {{ hash_of(['list(mapped.mapped_fields order by keys.person_id)']) }} as profile_hash
from keys
left join mapped
    on keys.sync_name = mapped.sync_name and keys.person_id = mapped.person_id
group by keys.sync_name, keys.key_type, keys.match_key
