-- One row per fragment of either stream: whose profile it goes into, which unique ids it may carry.
with

event_fragments as (

    select
        fragment_id,
        project,
        amplitude_id,
        user_id,
        events_count,
        load_id
    from {{ ref('fields__lytics_event_fragments') }}

),

cohort_fragments as (

    select distinct
        fragment_id,
        project,
        amplitude_id,
        user_id
    from {{ ref('fields__lytics_cohort_rows') }}

),

fragments as (

    select
        coalesce(event_fragments.fragment_id, cohort_fragments.fragment_id) as fragment_id,
        coalesce(event_fragments.project, cohort_fragments.project) as project,
        coalesce(event_fragments.amplitude_id, cohort_fragments.amplitude_id) as amplitude_id,
        coalesce(event_fragments.user_id, cohort_fragments.user_id) as user_id,
        coalesce(event_fragments.events_count, 0) as events_count,
        event_fragments.load_id
    from event_fragments
    full join cohort_fragments
        on event_fragments.fragment_id = cohort_fragments.fragment_id

),

namespaces as (

    select * from {{ ref('stg_relay__namespaces') }}

),

unique_ids as (

    select * from {{ ref('fields__lytics_unique_ids') }}

),

-- A row is of the person of its user id; without one, of its amplitude id (identity.md ID-8).
identified as (

    select
        fragments.*,
        coalesce(by_user.person_id, by_amplitude.person_id) as person_id,
        coalesce(by_user.is_suppressed, by_amplitude.is_suppressed, false) as is_suppressed,
        by_user.problem is null and by_user.person_id is not null as sends_user_id,
        -- The id of somebody else would make the two one profile.
        by_amplitude.problem is null
        and by_amplitude.person_id = coalesce(by_user.person_id, by_amplitude.person_id)
            as sends_amplitude_id,
        coalesce(by_user.problem, by_amplitude.problem) as id_problem
    from fragments
    left join namespaces
        on fragments.project = namespaces.project
    left join unique_ids as by_user
        on
            by_user.id_type = 'user_id'
            and coalesce(namespaces.namespace, 'default') = by_user.namespace
            and fragments.user_id = by_user.id_value
    left join unique_ids as by_amplitude
        on
            by_amplitude.id_type = 'amplitude_id'
            and coalesce(namespaces.namespace, 'default') = by_amplitude.namespace
            and fragments.amplitude_id = by_amplitude.id_value

)

select
    -- keys
    fragment_id,
    person_id,
    project,
    if(coalesce(sends_amplitude_id, false), amplitude_id, null) as amplitude_id,
    if(sends_user_id, user_id, null) as user_id,

    -- attributes
    events_count,
    case
        when is_suppressed then 'suppressed'
        when person_id is null then 'no_identifier'
        when not coalesce(sends_amplitude_id, false) and not sends_user_id then id_problem
    end as unsendable_reason,

    -- lineage
    load_id
from identified
