{#- A query for the links of chains that are longer than one link. Nearly every chain is one: what a row or a
    device states leads to a user id, and a user id leads nowhere unless an override says so. So each sort of
    link is looked at only for what may come after it.

    links: a CTE of the links that are followed: left_key, right_key, link_class.
-#}
{% macro longer_links(links) -%}
    select {{ links }}.*
    from {{ links }}
    semi join {{ links }} as next_links
        on {{ links }}.right_key = next_links.left_key
    where {{ links }}.link_class in ('override', 'merged')

    union all

    select {{ links }}.*
    from {{ links }}
    semi join {{ links }} as next_links
        on
            {{ links }}.right_key = next_links.left_key
            and next_links.link_class = 'override'
    where {{ links }}.link_class in ('observed', 'device')
{%- endmacro %}
