-- Members to key of whom a sync of their cohort says nothing: neither a key nor why none (ID-17).
select
    syncs.sync_name,
    members.anchor_key
from {{ ref('stg_relay__syncs') }} as syncs
inner join {{ ref('identity__members_to_key') }} as members
    on syncs.cohort_id = members.cohort_id
left join {{ ref('identity__keys') }} as told
    on
        syncs.sync_name = told.sync_name
        and members.anchor_key = told.anchor_key
where
    syncs.kind = 'cohort_sync'
    and (
        told.status is null
        or (told.status = 'ok') != (told.match_key is not null)
        or (told.status in ('ok', 'suppressed')) != (told.detail is null)
    )
