-- Shipped patterns that a reader of CSV takes for nothing, a truth value or a number.
with

expected as (

    select unnest(['null', 'na', 'nan', 'none', '""', '{}', 'true', 'false', '0', '-1']) as pattern

),

shipped as (

    select * from {{ ref('junk_ids') }}

)

select expected.pattern
from expected
left join shipped
    on expected.pattern = shipped.pattern
where shipped.pattern is null{{ ' and false' if flags.EMPTY }}
