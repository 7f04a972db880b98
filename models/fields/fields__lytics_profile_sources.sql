-- One row per person with a profile in Lytics: what the profile is made of, in one number that moves with it.
with

fragment_persons as (

    select * from {{ ref('fields__lytics_fragment_persons') }}
    where unsendable_reason is null

),

event_imports as (

    select * from {{ ref('fields__lytics_event_imports') }}

),

persons as (

    select * from {{ ref('identity__persons') }}

),

mappings as (

    select bit_xor(md5_number_lower(source_expression || target_field || target_type)) as map_hash
    from {{ ref('fields__lytics_mappings') }}
    where is_applied

),

parts as (

    select
        fragment_persons.person_id,
        event_imports.sync_name,
        concat_ws(
            ' ',
            fragment_persons.fragment_id, fragment_persons.amplitude_id, fragment_persons.user_id,
            fragment_persons.load_id, fragment_persons.events_count, event_imports.scope
        ) as part
    from fragment_persons
    cross join event_imports
    where fragment_persons.events_count > 0

    union all

    select
        fragment_persons.person_id,
        cohort_rows.sync_name,
        concat_ws(
            ' ', cohort_rows.fragment_id, cohort_rows.order_key, cohort_rows.stream_columns
        ) as part
    from {{ ref('fields__lytics_cohort_rows') }} as cohort_rows
    inner join fragment_persons
        on cohort_rows.fragment_id = fragment_persons.fragment_id

),

summed as (

    select
        person_id,
        array_to_string(list_sort(list(distinct sync_name)), ', ') as sync_name,
        -- A sum of hashes: the order of the parts does not matter.
        bit_xor(md5_number_lower(part)) as parts_hash
    from parts
    group by person_id

)

select
    summed.person_id,
    summed.sync_name,
    {{ hash_of([
        'summed.parts_hash', 'mappings.map_hash', 'summed.sync_name', 'persons.anchor',
        'persons.canonical_amplitude_id', 'persons.primary_user_id'
    ]) }} as source_hash
from summed
cross join mappings
inner join persons
    on summed.person_id = persons.person_id
