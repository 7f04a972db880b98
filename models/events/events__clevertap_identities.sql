-- One row per CleverTap identity (folded) that a waiting event names: who is known by it.
with

waiting as (

    select * from {{ ref('events__waiting') }}
    where source = 'clevertap'

),

asked as (

    select distinct {{ fold_text('user_value') }} as folded_value
    from waiting
    where user_value is not null

),

identifiers as (

    select * from {{ ref('events__known_identifiers') }}

),

property_values as (

    select
        sighting_key,
        property_value,
        seen_at,
        {{ fold_text('property_value') }} as folded_value
    from {{ ref('identity__properties_to_date') }}
    where property = 'CleverTap_Identity'

),

sightings as (

    select * from {{ ref('identity__attributed_sightings') }}

),

-- The latest of all rows of the person, whichever of its identifiers they carry (ID-16).
own_identities as (

    select
        identifiers.anchor_key,
        {{ last_of(
            'property_values.seen_at',
            'property_values.property_value',
            'property_values.folded_value'
        ) }} as folded_value
    from property_values
    inner join sightings
        on property_values.sighting_key = sightings.sighting_key
    inner join identifiers
        on sightings.identifier_key = identifiers.identifier_key
    group by identifiers.anchor_key

),

user_ids as (

    select
        identifiers.anchor_key,
        {{ fold_text('identifiers.id_value') }} as folded_value
    from identifiers
    semi join asked
        on {{ fold_text('identifiers.id_value') }} = asked.folded_value
    where identifiers.id_type = 'user_id'

),

-- CleverTap knows a person by that property; who has none, by the user id.
known_by as (

    select own_identities.*
    from own_identities
    semi join asked
        on own_identities.folded_value = asked.folded_value

    union all

    select user_ids.*
    from user_ids
    anti join own_identities
        on user_ids.anchor_key = own_identities.anchor_key

),

persons as (

    select * from {{ ref('identity__resolved_persons') }}

)

select
    known_by.folded_value,
    count(distinct known_by.anchor_key) as persons_count,
    min(persons.primary_user_id) as primary_user_id,
    bool_or(persons.is_suppressed) as is_suppressed
from known_by
inner join persons
    on known_by.anchor_key = persons.anchor_key
where persons.primary_user_id is not null
group by known_by.folded_value
