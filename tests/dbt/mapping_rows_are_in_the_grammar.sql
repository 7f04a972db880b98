-- Each row of lytics_field_map can be read. A build stops here with the line of each that cannot,
-- what is wrong with it, and the grammar.
with

lines as (

    -- Line 1 of the file is its header.
    select
        stream,
        position,
        target_field,
        row_number() over (order by {{ 1 if flags.EMPTY else 'rowid' }}) + 1 as line_number
    from {{ ref('lytics_field_map') }}

),

unreadable as (

    select
        lines.line_number,
        mappings.source_expression,
        mappings.target_field,
        mappings.target_type,
        mappings.problem
    from {{ ref('fields__lytics_mappings') }} as mappings
    inner join lines
        on
            mappings.stream = lines.stream
            and mappings.position = lines.position
            and mappings.target_field = lines.target_field
    where mappings.problem is not null

)

select
    error(
        'seeds/mappings/lytics_field_map.csv: '
        || string_agg(
            format(
                'line {}, {} -> {} ({}): {}',
                line_number, source_expression, target_field, target_type, problem
            ),
            '; ' order by line_number
        )
        || '. Grammar: field | map(field, field) | todate(field) | todate("layout", field)'
        || ' | match("prefix.") | valuect(field); a field is letters, digits, _ $ and . (no digit'
        || ' first), or any name in backticks'
    ) as message
from unreadable
having count(*) > 0
