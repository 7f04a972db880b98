-- One row per identifier with a link that it does not follow: it opens a circle, or is separated.
with recursive

region as (

    select * from {{ ref('identity__region') }}

),

first_links as (

    select
        left_key,
        right_key,
        link_class
    from {{ ref('identity__candidates') }}
    where
        link_rank = 1
        {% if not resolves_anew('links') %}
            and left_key in ({{ keys_of('region', 'identifier_key') }})
        {% endif %}

),

separations as (

    select
        left_key,
        right_key
    from {{ ref('identity__overrides') }}
    where kind = 'separate'

),

-- These are walked, and what separations name.
longer as (

    {{ longer_links('first_links') }}

),

walked as (

    select left_key from longer
    union distinct
    select right_key as left_key from longer
    union distinct
    select left_key from separations
    union distinct
    select right_key as left_key from separations

),

links as (

    select
        left_key,
        right_key,
        {{ identifier_order('left_id_type', 'left_id_value') }} as left_order
    from {{ ref('identity__candidates') }}
    where
        link_rank = 1
        and left_key in ({{ keys_of('walked', 'left_key') }})
        {% if not resolves_anew('links') %}
            and left_key in (select region.identifier_key from region)
        {% endif %}

),

walk as (

    {{ chain_walk('walk', 'links') }}

),

ends as (

    select
        *,
        right_key in (select links.left_key from links) as is_circular
    from walk
    where round = (select max(rounds.round) from walk as rounds)

),

-- On a circle is where walks end that never end; it opens at its smallest identifier.
opened as (

    select
        links.left_key,
        links.left_order
    from links
    inner join ends
        on
            links.left_key = ends.left_key
            and links.left_order = ends.lowest
    where
        ends.is_circular
        and links.left_key in (
            select circular.right_key
            from ends as circular
            where circular.is_circular
        )

),

base_ends as (

    select
        ends.left_key,
        coalesce(opened.left_key, ends.right_key) as end_key
    from ends
    left join opened
        on if(ends.is_circular, ends.lowest, null) = opened.left_order

),

-- All separations are judged on the links as they are without any of them.
judged as (

    select
        separations.left_key,
        separations.right_key
    from separations
    left join base_ends as left_ends
        on separations.left_key = left_ends.left_key
    left join base_ends as right_ends
        on separations.right_key = right_ends.left_key
    where
        coalesce(left_ends.end_key, separations.left_key)
        = coalesce(right_ends.end_key, separations.right_key)

),

unmarked_links as (

    select * from links
    where
        left_key not in (
            select opened.left_key from opened
            union all
            select judged.left_key from judged
        )
        and exists (select 1 from judged)

),

marked_walk as (

    {{ chain_walk('marked_walk', 'unmarked_links') }}

),

-- From anywhere up the chain to the next identifier that a separation names on its left.
next_marks as (

    select
        left_key,
        right_key as mark_key
    from marked_walk
    where round = (select max(rounds.round) from marked_walk as rounds)

),

hops as (

    select
        links.left_key,
        coalesce(next_marks.mark_key, links.right_key) as mark_key
    from links
    left join next_marks
        on links.right_key = next_marks.left_key
    where links.left_key not in (select opened.left_key from opened)

),

passed as (

    select
        judged.left_key,
        judged.right_key,
        hops.mark_key
    from judged
    inner join hops
        on judged.right_key = hops.left_key

    union distinct

    select
        passed.left_key,
        passed.right_key,
        hops.mark_key
    from passed
    inner join hops
        on passed.mark_key = hops.left_key

),

-- The left one, unless the chain of the right one leads through it.
cut as (

    select if(passed.mark_key is null, judged.left_key, judged.right_key) as identifier_key
    from judged
    left join passed
        on
            judged.left_key = passed.left_key
            and judged.right_key = passed.right_key
            and judged.left_key = passed.mark_key
    group by identifier_key

)

select
    identifier_key,
    'separated' as reason
from cut

union all

select
    left_key as identifier_key,
    'circle' as reason
from opened
where left_key not in (select cut.identifier_key from cut)
