-- One row per sync and key that people behind removed keys have now, or that moves to a new name.
{{ config(materialized='view') }}

with

removed as (

    select * from {{ ref('cohorts__removed_keys') }}

),

moves as (

    select
        sync_name,
        { 'key_type': key_type, 'match_key': match_key } as old_key,
        unnest(replaced_by) as new_key
    from removed
    where reason = 'rekeyed'

),

moved_to as (

    select
        sync_name,
        new_key.key_type,
        new_key.match_key,
        'rekeyed' as reason,
        list(distinct old_key order by old_key) as after
    from moves
    group by sync_name, new_key.key_type, new_key.match_key

),

renamed as (

    select distinct
        sync_name,
        key_type,
        match_key,
        'renamed' as reason,
        null as after
    from removed
    where reason = 'renamed'

)

select * from moved_to
union all by name
select renamed.* from renamed
anti join moved_to
    on
        renamed.sync_name = moved_to.sync_name
        and renamed.key_type = moved_to.key_type
        and renamed.match_key = moved_to.match_key
