-- One row per fragment and profile of Lytics that its rows go into, stitched on the two unique ids.
with

event_imports as (

    select * from {{ ref('fields__lytics_event_imports') }}

),

fragment_persons as (

    select
        fragment_id,
        person_id,
        amplitude_id,
        user_id,
        events_count,
        load_id
    from {{ ref('fields__lytics_fragment_persons') }}
    where unsendable_reason is null

),

stitch_rows as (

    select
        fragment_id,
        person_id,
        amplitude_id,
        user_id
    from {{ ref('fields__lytics_stitch_rows') }}

),

all_fragments as (

    select * from fragment_persons
    union all by name
    select
        *,
        0 as events_count
    from stitch_rows

),

-- The amplitude ids that a row shows beside a user id of the person.
linked as (

    select distinct amplitude_id
    from all_fragments
    where amplitude_id is not null and user_id is not null

)

select
    -- keys
    all_fragments.fragment_id,
    all_fragments.person_id,

    -- What nothing ties to a user id is a profile of its own: Lytics cannot know better.
    if(
        all_fragments.user_id is null and linked.amplitude_id is null,
        all_fragments.amplitude_id,
        null
    ) as lone_amplitude_id,
    all_fragments.amplitude_id,
    all_fragments.user_id,

    -- attributes
    all_fragments.events_count > 0 as has_events,
    -- lineage
    if(
        all_fragments.events_count > 0,
        concat_ws(' ', all_fragments.events_count, all_fragments.load_id, event_imports.scope),
        null
    ) as events_part
from all_fragments
left join event_imports
    on true
left join linked
    on all_fragments.amplitude_id = linked.amplitude_id
