-- One row per row to be sent to Lytics' stream amplitude_cohorts: a key is a member, or no more.
with

changes as (

    select * from {{ ref('fields__lytics_pending_changes') }}

),

cohort_rows as (

    select * from {{ ref('fields__lytics_cohort_rows') }}
    where is_pending

)

select
    -- keys
    changes.sync_name,
    'lytics' as destination,
    changes.cohort_id,
    changes.cohort_name,
    row_number() over (
        partition by changes.sync_name
        order by changes.phase, changes.key_type, changes.match_key, changes.change_id
    ) as position,
    changes.phase,
    changes.change_id,

    -- the change
    changes.action,
    changes.reason,
    changes.key_type,
    changes.key_value,
    changes.match_key,
    changes.person_ids,
    changes.anchors,
    changes.payload_hash,

    -- what is sent
    {{ lytics_record(
        'cohort_rows.amplitude_id', 'cohort_rows.user_id', 'cohort_rows.stream_columns'
    ) }} as record,
    '[' as body_prefix,
    ']' as body_suffix
from changes
inner join cohort_rows
    on changes.change_id = cohort_rows.row_id
