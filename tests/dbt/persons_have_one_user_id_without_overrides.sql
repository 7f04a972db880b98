-- Persons with more user ids than overrides can have joined (ID-8).
select
    persons.person_id,
    persons.user_ids_count
from {{ ref('identity__resolved_persons') }} as persons
where
    persons.user_ids_count > 1 + (
        select count(*)
        from {{ ref('identity__overrides') }} as overrides
        where overrides.kind = 'link'
    )
