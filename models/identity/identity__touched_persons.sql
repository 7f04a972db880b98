-- One row per anchor whose person may be another now, or none at all; none if all is anew.
with

scope as (

    select * from {{ ref('identity__scope') }}
    where not links_is_new

),

touched as (

    select touched.identifier_key
    from {{ ref('identity__touched') }} as touched
    cross join scope

),

-- Written by this build, or by one that was cut short before its end.
identifiers as (

    select * from {{ ref('identity__identifiers') }}
    where build_number >= (select scope.build_number from scope)

)

select identifier_key as anchor_key from touched

union distinct

-- An id that nobody has seen is none any more once what was merged into it leads elsewhere.
select right_key as anchor_key
from {{ ref('identity__merges') }}
where left_key in (select touched.identifier_key from touched)

union distinct

select identifier_key as anchor_key from identifiers

union distinct

select anchor_key from identifiers
where anchor_key is not null
