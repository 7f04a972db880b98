-- One row per enabled cohort sync: the snapshot it is to bring over, and the segment it speaks of.
with

syncs as (

    select * from {{ ref('stg_relay__syncs') }}
    where kind = 'cohort_sync' and is_enabled

),

settings as (

    select * from {{ ref('stg_relay__settings') }}

),

snapshots as (

    select * from {{ ref('stg_amplitude__cohort_snapshots') }}
    where is_newest

),

cohorts as (

    select * from {{ ref('stg_amplitude__cohorts') }}

),

ledger_syncs as (

    select * from {{ ref('ledger__syncs') }}

),

joined as (

    select
        -- keys
        syncs.sync_name,
        syncs.destination,
        syncs.cohort_id,
        snapshots.snapshot_id,

        -- the segment: its name is fixed when it first sends, until segment_name says otherwise;
        -- Lytics follows the cohort's name by itself
        if(
            syncs.destination = 'lytics',
            snapshots.cohort_name,
            coalesce(
                syncs.segment_name, ledger_syncs.sent_cohort_name, snapshots.cohort_name
            )
        ) as cohort_name,
        snapshots.cohort_name as snapshot_cohort_name,

        -- settings
        syncs.delivery,
        syncs.max_removed_percent,
        syncs.max_added_percent,
        syncs.min_members,
        syncs.on_unknown,
        {{ setting_of('syncs.destination', 'reassert') }} as reasserts,

        -- state
        case
            when cohorts.is_archived then 'the cohort is archived in Amplitude'
            when cohorts.vanished_at is not null then 'Amplitude lists the cohort no more'
            when snapshots.snapshot_id is null then 'no snapshot was loaded yet'
        end as no_snapshot_reason,
        coalesce(ledger_syncs.is_paused, false) as is_paused,
        ledger_syncs.lost_reason,
        coalesce(ledger_syncs.ledger_seq, 0) as ledger_seq,

        -- times
        snapshots.last_computed_at
    from syncs
    cross join settings
    left join snapshots
        on syncs.cohort_id = snapshots.cohort_id
    left join cohorts
        on syncs.cohort_id = cohorts.cohort_id
    left join ledger_syncs
        on syncs.sync_name = ledger_syncs.sync_name

)

select
    *,
    {{ segment_of('destination', 'cohort_id', 'cohort_name') }} as segment
from joined
