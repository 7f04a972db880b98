-- One row per active junk pattern, shipped or the user's own, as cleaned and folded values meet it.
with

shipped as (

    select * from {{ ref('junk_ids') }}

),

own as (

    select * from {{ source('raw', 'own_junk_ids') }}

),

-- A row of one's own stands for the shipped row it repeats, so `false` there switches that one off.
all_rows as (

    select
        own.id_type,
        own.match,
        own.pattern,
        own.origin,
        own.is_active,
        false as is_shipped
    from own

    union all

    select
        shipped.id_type,
        shipped.match,
        shipped.pattern,
        shipped.origin,
        shipped.is_active,
        true as is_shipped
    from shipped
    left join own
        on
            shipped.id_type = own.id_type
            and shipped.match = own.match
            and shipped.pattern = own.pattern
    where own.pattern is null

)

select distinct
    -- keys
    id_type,
    match,
    -- Values come folded. Letters of an expression may not be: `\D` is not `\d`.
    if(match = 'regex', '(?i)' || pattern, {{ fold_text(clean_text('pattern')) }}) as pattern,

    -- attributes
    origin,
    is_shipped
from all_rows
where is_active
