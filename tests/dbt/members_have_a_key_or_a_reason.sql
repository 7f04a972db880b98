-- Members of a cohort whose sync says nothing of them: neither a key nor why there is none (ID-17).
select
    syncs.sync_name,
    members.anchor_key
from {{ ref('stg_relay__syncs') }} as syncs
inner join {{ ref('identity__members') }} as members
    on syncs.cohort_id = members.cohort_id
left join {{ ref('identity__keys') }} as keys
    on
        syncs.sync_name = keys.sync_name
        and members.anchor_key = keys.anchor_key
where
    syncs.kind = 'cohort_sync'
    and (
        keys.status is null
        or (keys.status = 'ok') != (keys.match_key is not null)
        or (keys.status in ('ok', 'suppressed')) != (keys.detail is null)
    )
