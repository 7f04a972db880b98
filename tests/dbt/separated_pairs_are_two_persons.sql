-- Identifiers that an override keeps apart, and that are one person all the same (ID-11).
select
    overrides.line,
    overrides.left_id_value,
    overrides.right_id_value
from {{ ref('identity__overrides') }} as overrides
inner join {{ ref('identity__identifiers') }} as lefts
    on overrides.left_key = lefts.identifier_key
inner join {{ ref('identity__identifiers') }} as rights
    on overrides.right_key = rights.identifier_key
where
    overrides.kind = 'separate'
    and lefts.end_key = rights.end_key
