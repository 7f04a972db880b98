-- One row per finding about identifiers, links and persons: what to look at, and how big it is.
{{ config(materialized='view') }}

with

identifiers as (

    select
        identifiers.*,
        person_ids.first_seen_at,
        person_ids.last_seen_at
    from {{ ref('identity__identifiers') }} as identifiers
    left join {{ ref('identity__person_ids') }} as person_ids
        on identifiers.identifier_key = person_ids.identifier_key

),

junk_values as (

    select
        'junk_value' as finding,
        namespace,
        id_type,
        id_value,
        'stands in this many rows' as detail,
        rows_count as affected_count,
        first_seen_at,
        last_seen_at
    from {{ ref('identity__junk_values') }}

),

contaminated_ids as (

    select
        'contaminated_id' as finding,
        namespace,
        'amplitude_id' as id_type,
        cast(amplitude_id as varchar) as id_value,
        'strangers on this many devices share it, sent as user ' || junk_user_id as detail,
        devices_count as affected_count,
        cast(null as timestamp) as first_seen_at,
        cast(null as timestamp) as last_seen_at
    from {{ ref('identity__contaminated_ids') }}

),

shared_devices as (

    select
        'shared_device' as finding,
        namespace,
        'device_id' as id_type,
        device_id as id_value,
        'this many users were seen on it' as detail,
        users_count as affected_count,
        first_seen_at,
        last_seen_at
    from {{ ref('identity__devices') }}
    where is_shared

),

refused_links as (

    select
        'refused_link' as finding,
        namespace,
        left_id_type as id_type,
        left_id_value as id_value,
        concat(link_class, ' to ', right_id_type, ' ', right_id_value, ': ', reason) as detail,
        row_count as affected_count,
        first_seen_at,
        last_seen_at
    from {{ ref('identity__links') }}
    where decision = 'refused'

),

flagged_persons as (

    select
        'flagged_person' as finding,
        namespace,
        anchor_id_type as id_type,
        anchor_id_value as id_value,
        concat(
            array_to_string(flags, ', '), ': ', amplitude_ids_count, ' amplitude ids, ',
            devices_count, ' devices'
        ) as detail,
        rows_count as affected_count,
        first_seen_at,
        last_seen_at
    from {{ ref('identity__persons') }}
    where len(flags) > 0

),

-- An id that was merged into one that was merged itself.
merge_chains as (

    select
        'merge_chain' as finding,
        lefts.namespace,
        lefts.id_type,
        lefts.id_value,
        'by way of ' || rights.id_value || ' to the id or user this many steps on' as detail,
        lefts.steps_count as affected_count,
        lefts.first_seen_at,
        lefts.last_seen_at
    from identifiers as lefts
    inner join identifiers as rights
        on lefts.follows_key = rights.identifier_key
    where lefts.follows_class = 'merged' and rights.follows_class = 'merged'

),

circles as (

    select
        'link_circle' as finding,
        identifiers.namespace,
        identifiers.id_type,
        identifiers.id_value,
        'links lead in a circle, which was opened here' as detail,
        1 as affected_count,
        identifiers.first_seen_at,
        identifiers.last_seen_at
    from identifiers
    inner join {{ ref('identity__stops') }} as stops
        on identifiers.identifier_key = stops.identifier_key
    where stops.reason = 'circle'

),

-- Probably one user whom Amplitude takes for several.
case_variants as (

    select
        'case_variants' as finding,
        namespace,
        'user_id' as id_type,
        {{ fold_text('id_value') }} as id_value,
        'spelt ' || string_agg(id_value, ', ' order by id_value) as detail,
        count(*) as affected_count,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at
    from identifiers
    where id_type = 'user_id' and is_seen
    group by namespace, {{ fold_text('id_value') }}
    having count(distinct anchor_key) > 1

)

select * from junk_values
union all
select * from contaminated_ids
union all
select * from shared_devices
union all
select * from refused_links
union all
select * from flagged_persons
union all
select * from merge_chains
union all
select * from circles
union all
select * from case_variants
