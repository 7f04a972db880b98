-- One row per profile that Lytics will have: what it is made of, in one hash that moves with it.
with

fragments as (

    select * from {{ ref('fields__lytics_profile_fragments') }}

),

cohort_rows as (

    select * from {{ ref('fields__lytics_cohort_rows') }}

),

event_imports as (

    select * from {{ ref('fields__lytics_event_imports') }}

),

persons as (

    select * from {{ ref('identity__resolved_persons') }}

),

mappings as (

    select
        bit_xor(md5_number_lower(
            concat_ws(' ', stream, source_expression, target_field, target_type)
        )) as mapping_hash
    from {{ ref('fields__lytics_mappings') }}
    where is_applied

),

parts as (

    select
        fragments.person_id,
        fragments.lone_amplitude_id,
        if(fragments.has_events, event_imports.sync_name, null) as sync_name,
        concat_ws(
            ' ',
            fragments.fragment_id, fragments.amplitude_id, fragments.user_id, fragments.events_part
        ) as part
    from fragments
    left join event_imports
        on fragments.has_events

    union all

    select
        fragments.person_id,
        fragments.lone_amplitude_id,
        cohort_rows.sync_name,
        concat_ws(
            ' ', cohort_rows.row_id, cohort_rows.order_key, cohort_rows.stream_columns
        ) as part
    from cohort_rows
    inner join fragments
        on cohort_rows.fragment_id = fragments.fragment_id

),

summed as (

    select
        person_id,
        lone_amplitude_id,
        array_to_string(list_sort(list(distinct sync_name)), ', ') as sync_name,
        -- Of hashes, so that the order of the parts does not matter.
        bit_xor(md5_number_lower(part)) as parts_hash
    from parts
    group by person_id, lone_amplitude_id

)

select
    -- keys
    concat_ws(':', summed.person_id, summed.lone_amplitude_id) as profile_id,
    summed.sync_name,
    summed.person_id,
    summed.lone_amplitude_id,
    persons.anchor,
    case
        when summed.lone_amplitude_id is null and persons.canonical_amplitude_id is null
            then 'amplitude_user_id'
        else 'amplitude_id'
    end as key_type,
    coalesce(
        summed.lone_amplitude_id, persons.canonical_amplitude_id, persons.primary_user_id
    ) as key_value,

    -- lineage
    {{ hash_of([
        'summed.parts_hash', 'mappings.mapping_hash', 'summed.sync_name', 'persons.anchor',
        'persons.canonical_amplitude_id', 'persons.primary_user_id'
    ]) }} as source_hash
from summed
cross join mappings
inner join persons
    on summed.person_id = persons.person_id
