-- One row per member of a MoEngage sync: its value in a file segment, and the column that holds it.
{{ config(materialized='view') }}

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
