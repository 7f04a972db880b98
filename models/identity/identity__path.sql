-- One row per step between two identifiers of one person; of two persons, per refused link (ID-15).
{{ config(
    materialized='table_function',
    parameters=['from_identifier', 'to_identifier'],
) }}

with recursive

-- Identifiers are given as `identity.person_ids` has them: `amplitude_id:default:812`.
asked as (

    select
        'up' as side,
        {{ key_of_identifier('from_identifier') }} as identifier_key

    union all

    select
        'down' as side,
        {{ key_of_identifier('to_identifier') }} as identifier_key

),

-- All identifiers of the one person, or of the two.
identifiers as (

    select
        identifier_key,
        follows_key,
        follows_class,
        steps_count
    from {{ ref('identity__identifiers') }}
    where
        end_key in (
            select named.end_key
            from {{ ref('identity__identifiers') }} as named
            where named.identifier_key in (select asked.identifier_key from asked)
        )

),

chains as (

    select
        asked.side,
        identifiers.*
    from asked
    inner join identifiers
        on asked.identifier_key = identifiers.identifier_key

    union all

    select
        chains.side,
        identifiers.*
    from chains
    inner join identifiers
        on chains.follows_key = identifiers.identifier_key

),

shared as (

    select steps_count
    from chains
    group by identifier_key, steps_count
    having count(*) = 2

),

meeting as (

    select max(steps_count) as steps_count
    from shared

),

-- Up the chain of the first identifier to where the two meet, then down to the second.
steps as (

    select
        chains.*,
        row_number() over (
            order by
                chains.side = 'down',
                if(chains.side = 'up', -chains.steps_count, chains.steps_count)
        ) as step
    from chains
    inner join meeting
        on chains.steps_count > meeting.steps_count

),

links as (

    select
        steps.step,
        steps.side,
        links.*
    from {{ ref('identity__links') }} as links
    inner join steps
        on
            links.left_key = steps.identifier_key
            and links.right_key = steps.follows_key
            and links.link_class = steps.follows_class

    union all

    select
        row_number() over (
            order by links.link_class, links.left_key, links.right_key
        ) as step,
        'up' as side,
        links.*
    from {{ ref('identity__links') }} as links
    where
        links.decision = 'refused'
        and links.left_key in (select identifiers.identifier_key from identifiers)
        and links.right_key in (select identifiers.identifier_key from identifiers)

)

select
    -- keys
    step,
    namespace,
    if(side = 'up', left_id_type, right_id_type) as from_id_type,
    if(side = 'up', left_id_value, right_id_value) as from_id_value,
    if(side = 'up', right_id_type, left_id_type) as to_id_type,
    if(side = 'up', right_id_value, left_id_value) as to_id_value,

    -- attributes
    link_class,
    decision,
    reason,

    -- the evidence
    source,
    row_count,
    first_row,
    device_id,
    known_row,

    -- times
    first_seen_at,
    last_seen_at
from links
order by step
