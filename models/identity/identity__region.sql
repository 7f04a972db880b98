-- One row per identifier to resolve again: persons of changed first links; none if all is anew.
with

since as (

    select since_load_id as load_id
    from {{ ref('identity__scope') }}
    where not links_is_new

),

touched as (

    select * from {{ ref('identity__touched') }}

),

contaminated as (

    select * from {{ ref('identity__contaminated_ids') }}

),

overrides as (

    select * from {{ ref('identity__overrides') }}

),

{% if left_by_last_build('identifiers') and left_by_last_build('stops') -%}
    resolved as not materialized (

        select * from identity.identifiers

    ),

    stops as (

        select identifier_key from identity.stops

    ),
{%- else -%}
    resolved as (

        select
            cast(null as uuid) as identifier_key,
            cast(null as uuid) as first_key,
            cast(null as uuid) as end_key,
            cast(null as varchar) as id_type,
            cast(null as varchar) as namespace,
            cast(null as varchar) as id_value,
            cast(null as varchar) as first_class,
            cast(null as boolean) as is_seen
        from since
        where false

    ),

    stops as (

        select cast(null as uuid) as identifier_key
        from since
        where false

    ),
{%- endif %}

-- Changed whatever their links are: they are few.
always_changed as (

    select unnest([overrides.left_key, overrides.right_key]) as identifier_key
    from overrides
    cross join since

    union distinct

    select stops.identifier_key
    from stops
    cross join since

),

asked as (

    select identifier_key from touched
    union distinct
    select identifier_key from always_changed

),

first_links as materialized (

    select
        left_key,
        right_key,
        link_class
    from {{ ref('identity__candidates') }}
    where
        link_rank = 1
        and left_key in ({{ keys_of('asked', 'identifier_key') }})

),

-- The large table is looked at once for these, and once for the persons they are in.
resolved_before as materialized (

    select
        identifier_key,
        first_key,
        end_key,
        id_type,
        first_class,
        is_seen
    from resolved
    where
        identifier_key in (
            {{ keys_of('asked', 'identifier_key') }}
            union all
            {{ keys_of('first_links', 'right_key') }}
        )

),

changed as (

    select touched.identifier_key
    from touched
    left join resolved_before
        on touched.identifier_key = resolved_before.identifier_key
    left join first_links
        on touched.identifier_key = first_links.left_key
    where
        resolved_before.identifier_key is null
        or resolved_before.first_key is distinct from first_links.right_key
        or resolved_before.first_class is distinct from first_links.link_class
        -- Whether these are identifiers at all may be otherwise now.
        or resolved_before.id_type = 'device_id'
        or not resolved_before.is_seen
        or touched.identifier_key in (select contaminated.amplitude_key from contaminated)

    union distinct

    select identifier_key from always_changed

),

leads_to as (

    select identifier_key from changed

    union distinct

    select first_links.right_key as identifier_key
    from first_links
    semi join changed
        on first_links.left_key = changed.identifier_key

),

ends as (

    select distinct resolved_before.end_key
    from resolved_before
    semi join leads_to
        on resolved_before.identifier_key = leads_to.identifier_key

)

-- As the last build left them, so that nobody need look for them again.
select
    resolved.identifier_key,
    resolved.id_type,
    resolved.namespace,
    resolved.id_value,
    resolved.is_seen
from resolved
where resolved.end_key in ({{ keys_of('ends', 'end_key') }})

union all

select
    leads_to.identifier_key,
    null as id_type,
    null as namespace,
    null as id_value,
    null as is_seen
from leads_to
anti join resolved_before
    on leads_to.identifier_key = resolved_before.identifier_key
