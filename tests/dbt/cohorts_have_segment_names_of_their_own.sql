-- No two cohorts of a destination go by one name there: neither by what its rules make of the names
-- nor but for upper and lower case. A build stops here, and with it the plan, with both names.
with

segment_names as (

    select distinct
        destination,
        cohort_id,
        cohort_name,
        segment_name,
        folded_name
    from {{ ref('fields__segment_names') }}

),

colliding as (

    select
        destination,
        any_value(segment_name order by cohort_id) as segment_name,
        string_agg(format('"{}" (cohort {})', cohort_name, cohort_id), ' and ' order by cohort_id)
            as both_names
    from segment_names
    group by destination, folded_name
    having count(distinct cohort_id) > 1

)

select
    error(string_agg(
        format('{} would take {} for one segment, {}', destination, both_names, segment_name),
        '; ' order by destination, both_names
    ) || '. Rename one of them in Amplitude, or give its sync a segment_name') as message
from colliding
having count(*) > 0
