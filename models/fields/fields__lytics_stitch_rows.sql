-- One row per two unique ids of one person that no row of a stream shows together: a row that does.
-- Lytics joins only what it sees in one row; what Amplitude merged or devices tell it cannot see.
with

fragment_persons as (

    select * from {{ ref('fields__lytics_fragment_persons') }}
    where unsendable_reason is null

),

persons as (

    select * from {{ ref('identity__resolved_persons') }}

),

unique_ids as (

    select * from {{ ref('fields__lytics_unique_ids') }}
    where problem is null and not is_suppressed

),

settings as (

    select * from {{ ref('stg_relay__settings') }}

),

event_fragments as (

    select * from {{ ref('fields__lytics_event_fragments') }}

),

-- Only who has events in the stream: a row of a cohort has both ids as it is.
seen as (

    select
        fragment_persons.person_id,
        fragment_persons.project,
        fragment_persons.amplitude_id,
        fragment_persons.user_id,
        event_fragments.last_event_at
    from fragment_persons
    inner join event_fragments
        on fragment_persons.fragment_id = event_fragments.fragment_id

),

stitchable as (

    select
        persons.person_id,
        persons.canonical_amplitude_id,
        persons.primary_user_id
    from persons
    inner join unique_ids
        on
            persons.person_id = unique_ids.person_id
            and unique_ids.id_type = 'user_id'
            and persons.primary_user_id = unique_ids.id_value

),

-- Each amplitude id with the primary user id: the canonical one, then those seen last.
by_amplitude_id as (

    select
        seen.person_id,
        any_value(seen.project order by seen.project) as project,
        seen.amplitude_id,
        stitchable.primary_user_id as user_id,
        max(seen.last_event_at) as last_event_at
    from seen
    inner join stitchable
        on seen.person_id = stitchable.person_id
    cross join settings
    where seen.amplitude_id is not null
    group by
        seen.person_id, seen.amplitude_id, stitchable.primary_user_id,
        stitchable.canonical_amplitude_id, settings.lytics_max_stitched_amplitude_ids
    qualify row_number() over (
        partition by seen.person_id
        order by
            seen.amplitude_id = stitchable.canonical_amplitude_id desc,
            max(seen.last_event_at) desc,
            seen.amplitude_id
    ) <= settings.lytics_max_stitched_amplitude_ids

),

-- And the canonical amplitude id with each further user id, which only an override gives a person.
by_user_id as (

    select
        seen.person_id,
        any_value(seen.project order by seen.project) as project,
        stitchable.canonical_amplitude_id as amplitude_id,
        seen.user_id,
        max(seen.last_event_at) as last_event_at
    from seen
    inner join stitchable
        on seen.person_id = stitchable.person_id
    inner join unique_ids
        on
            stitchable.person_id = unique_ids.person_id
            and unique_ids.id_type = 'amplitude_id'
            and stitchable.canonical_amplitude_id = unique_ids.id_value
    where seen.user_id != stitchable.primary_user_id
    group by seen.person_id, seen.user_id, stitchable.canonical_amplitude_id

),

pairs as (

    select * from by_amplitude_id
    union all
    select * from by_user_id

),

unsaid as (

    select pairs.*
    from pairs
    anti join fragment_persons
        on
            pairs.amplitude_id = fragment_persons.amplitude_id
            and pairs.user_id = fragment_persons.user_id

)

select
    -- keys
    cast({{ hash_of(["'stitch'", 'amplitude_id', 'user_id']) }} as uuid) as event_key,
    {{ lytics_fragment_id('project', 'amplitude_id', 'user_id') }} as fragment_id,
    person_id,
    project,
    amplitude_id,
    user_id,

    -- attributes: it repeats the time of the id's last event, so that no field gets a newer value
    cast(
        to_json({ 'event_time': {{ amplitude_time('last_event_at') }} }) as json
    ) as stream_columns,
    {{ order_in_time('last_event_at', '0') }} as order_key
from unsaid
