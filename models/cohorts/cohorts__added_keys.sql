-- One row per change that speaks of a member's key: to be added, re-asserted or named anew.
{{ config(materialized='view') }}

with

syncs as (

    select * from {{ ref('cohorts__current_syncs') }}

),

compared as (

    select * from {{ ref('cohorts__compared_keys') }}

),

successors as (

    select * from {{ ref('cohorts__successor_keys') }}

),

added as (

    select
        *,
        2 as phase,
        'added' as action
    from compared
    where list_name = 'added'

),

-- Lytics keeps a map of names beside that of ids: the old name ends, and the new one begins.
renamed as (

    select
        *,
        unnest(if(list_name = 'renamed', [1, 2], [1])) as phase,
        'renamed' as action
    from compared
    where is_named_otherwise and list_name in ('added', 'renamed')

),

-- Of what is in a list already, the few that may be asserted again, or none.
listed as (

    select compared.* from compared
    semi join successors
        on
            compared.sync_name = successors.sync_name
            and compared.key_type = successors.key_type
            and compared.match_key = successors.match_key

),

-- Who is behind a removed key may be one user with the key that stays: the removal takes both out.
reasserted as (

    select
        successors.sync_name,
        syncs.segment,
        successors.key_type,
        successors.match_key,
        2 as phase,
        'reasserted' as action,
        desired.key_value,
        desired.anchor_key,
        confirmed.is_parked,
        confirmed.rejected_payload_hash
    from successors
    inner join syncs
        on successors.sync_name = syncs.sync_name
    inner join {{ ref('cohorts__desired_keys') }} as desired
        on
            successors.sync_name = desired.sync_name
            and successors.key_type = desired.key_type
            and successors.match_key = desired.match_key
    inner join {{ ref('ledger__confirmed_keys') }} as confirmed
        on
            successors.sync_name = confirmed.sync_name
            and syncs.segment = confirmed.segment
            and successors.key_type = confirmed.key_type
            and successors.match_key = confirmed.match_key
    anti join listed
        on
            successors.sync_name = listed.sync_name
            and syncs.segment = listed.segment
            and successors.key_type = listed.key_type
            and successors.match_key = listed.match_key
    where syncs.reasserts and successors.reason = 'rekeyed'

),

changes as (

    select * from added
    union all by name
    select * from renamed
    union all by name
    select * from reasserted

)

select
    -- keys
    changes.sync_name,
    changes.segment,
    changes.key_type,
    changes.match_key,

    -- the change
    changes.phase,
    changes.action,
    case
        when changes.action = 'renamed' then 'renamed'
        when changes.is_in_doubt then 'resend'
        else coalesce(successors.reason, 'entered')
    end as reason,
    changes.key_value,
    if(changes.phase = 1, changes.known_cohort_name, syncs.cohort_name) as cohort_name,
    successors.after,
    changes.anchor_key,
    changes.is_parked,
    changes.rejected_payload_hash
from changes
inner join syncs
    on changes.sync_name = syncs.sync_name
left join successors
    on
        changes.sync_name = successors.sync_name
        and changes.key_type = successors.key_type
        and changes.match_key = successors.match_key
