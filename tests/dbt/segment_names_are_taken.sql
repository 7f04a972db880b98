-- Every segment has a name that its destination takes whole. A build stops here, and with it the
-- plan, with each name that is empty or too long: the vendor would cut it, or drop it unsaid.
with

segment_names as (

    select distinct
        destination,
        cohort_id,
        cohort_name,
        strlen(cohort_name) as bytes
    from {{ ref('fields__segment_names') }}

),

judged as (

    select
        *,
        case
            when coalesce(trim(cohort_name), '') = '' then 'the name is empty'
            -- A value of an event or of a profile's list. CleverTap's pages say 512 characters here
            -- and 512 bytes there; the smaller holds for both.
            when destination = 'clevertap' and bytes > 512
                then format('the name is {} bytes, CleverTap takes 512', bytes)
        end as problem
    from segment_names

)

select
    error(string_agg(
        format(
            'cohort {} to {}: {} ("{}")', cohort_id, destination, problem, left(cohort_name, 60)
        ),
        '; ' order by destination, cohort_id
    ) || '. Name it anew in Amplitude, or give its sync a segment_name') as message
from judged
where problem is not null
having count(*) > 0
