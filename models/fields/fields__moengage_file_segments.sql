-- One row per member of a MoEngage sync and value for a file segment, one column a file: `uid` or `moe_anonymous_id`.
with

desired as (

    select * from {{ ref('cohorts__desired_keys') }}

),

syncs as (

    select * from {{ ref('cohorts__current_syncs') }}
    where destination = 'moengage'

)

select
    desired.sync_name,
    syncs.cohort_id,
    syncs.cohort_name,
    if(desired.key_type = 'user_id', 'uid', desired.key_type) as column_name,
    desired.key_value
from desired
inner join syncs
    on desired.sync_name = syncs.sync_name
