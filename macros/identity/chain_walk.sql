{#- The body of a recursive CTE that walks every chain of links to its end, in rounds that double the
    stride: a chain of n links takes log2(n) + 1 of them, so its length hardly matters. In a circle the
    walk would never end; after that many rounds its pointer has gone round at least once, and stands on
    the circle. Keep the rows of the last round:

        walk as ({{ '{{' }} chain_walk('walk', 'links') {{ '}}' }})
        select * from walk where round = (select max(round) from walk)

    A row of the result is a link's left end: `left_key`, `right_key` (where its chain ends; in a circle,
    an identifier of the circle), `steps` (links from here to there) and `lowest` (the smallest
    `left_order` among the identifiers passed, its own included).

    walk:  name of the CTE.
    links: CTE with left_key, right_key and left_order (text), each left_key once.
-#}
{% macro chain_walk(walk, links) -%}
    select
        left_key,
        right_key,
        cast(1 as bigint) as steps,
        left_order as lowest,
        0 as round,
        true as has_moved
    from {{ links }}

    union all

    select
        here.left_key,
        coalesce(there.right_key, here.right_key) as right_key,
        here.steps + coalesce(there.steps, 0) as steps,
        least(here.lowest, there.lowest) as lowest,
        here.round + 1 as round,
        there.left_key is not null as has_moved
    from {{ walk }} as here
    left join {{ walk }} as there
        on here.right_key = there.left_key
    where
        here.round <= (select ceil(log2(count(*) + 1)) from {{ links }})
        and exists (select 1 from {{ walk }} where has_moved)
{%- endmacro %}
