-- One row per key that is wanted and not confirmed, or confirmed and not wanted: why.
with

compared as (

    select * from {{ ref('cohorts__compared_keys') }}
    where is_desired != is_confirmed

),

changes as (

    select * from {{ ref('cohorts__membership_changes') }}
    where action in ('added', 'removed')

)

select
    -- keys
    compared.sync_name,
    compared.segment,
    compared.key_type,
    compared.match_key,

    -- the difference
    if(compared.is_desired, -1, 1) as difference,
    case
        when compared.list_name = 'frozen' then 'in_doubt'
        when changes.is_parked then 'refused'
        when compared.is_desired then 'to_add'
        else 'to_remove'
    end as kind,
    case
        when compared.list_name = 'frozen' then 'no_answer'
        when changes.is_parked
            then coalesce(
                nullif(concat_ws(': ', compared.rejection_code, compared.rejection_text), ''),
                'no_reason'
            )
        -- In a build for an undo the difference itself is not planned.
        else coalesce(changes.reason, 'not_planned')
    end as reason
from compared
left join changes
    on
        compared.sync_name = changes.sync_name
        and compared.segment = changes.segment
        and compared.key_type = changes.key_type
        and compared.match_key = changes.match_key
