-- One row per enabled cohort sync: members and changes counted, and whether the guard lets it go.
with

syncs as (

    select * from {{ ref('cohorts__current_syncs') }}

),

segments as (

    select
        sync_name,
        max(members_count) as members_count,
        max(keys_count) as keys_count,
        sum(confirmed_count) as confirmed_count,
        sum(in_doubt_count) as in_doubt_count
    from {{ ref('cohorts__segments') }}
    group by sync_name

),

compared as (

    select
        sync_name,
        count(*) filter (where is_desired and list_name != 'renamed') as unsettled_count
    from {{ ref('cohorts__compared_keys') }}
    group by sync_name

),

changes as (

    select
        sync_name,
        count(*) filter (where action = 'added' and not is_parked) as added_count,
        count(*) filter (where action = 'removed' and not is_parked) as removed_count,
        count(*) filter (where action = 'reasserted' and not is_parked) as reasserted_count,
        count(*) filter (where action = 'renamed' and not is_parked) as renamed_count,
        count(*) filter (where is_parked) as parked_count
    from {{ ref('cohorts__membership_changes') }}
    group by sync_name

),

members as (

    select
        sync_name,
        members_count
    from segments
    union all
    -- Where there is no snapshot to go by, nothing is compared, and nothing was counted for it.
    select
        of_members.sync_name,
        count(*) as members_count
    from {{ ref('identity__keys') }} as of_members
    inner join syncs
        on of_members.sync_name = syncs.sync_name
    where syncs.no_snapshot_reason is not null
    group by of_members.sync_name

),

-- Apart from all of them: of row groups in which every row has a key's hash nothing is read.
without_key as (

    select
        sync_name,
        count(*) filter (where status = 'suppressed') as suppressed_count,
        count(*) filter (where status != 'suppressed') as unaddressable_count
    from {{ ref('identity__keys') }}
    where key_hash is null and status != 'ok'
    group by sync_name

),

counted as (

    select
        syncs.*,
        coalesce(members.members_count, 0) as members_count,
        coalesce(without_key.suppressed_count, 0) as suppressed_count,
        coalesce(without_key.unaddressable_count, 0) as unaddressable_count,
        coalesce(segments.keys_count, 0) as keys_count,
        cast(coalesce(segments.confirmed_count, 0) as bigint) as confirmed_count,
        coalesce(segments.keys_count, 0) - coalesce(compared.unsettled_count, 0) as unchanged_count,
        cast(coalesce(segments.in_doubt_count, 0) as bigint) as in_doubt_count,
        coalesce(changes.added_count, 0) as added_count,
        coalesce(changes.removed_count, 0) as removed_count,
        coalesce(changes.reasserted_count, 0) as reasserted_count,
        coalesce(changes.renamed_count, 0) as renamed_count,
        coalesce(changes.parked_count, 0) as parked_count
    from syncs
    left join members
        on syncs.sync_name = members.sync_name
    left join without_key
        on syncs.sync_name = without_key.sync_name
    left join segments
        on syncs.sync_name = segments.sync_name
    left join compared
        on syncs.sync_name = compared.sync_name
    left join changes
        on syncs.sync_name = changes.sync_name

),

run as (

    select * from {{ ref('stg_relay__run') }}

),

guarded as (

    select
        *,
        case
            when lost_reason is not null then lost_reason
            when confirmed_count < min_members then null
            when removed_count * 100 > max_removed_percent * confirmed_count
                then {{ guard_reason('remove', 'removed_count', 'max_removed_percent') }}
            when added_count * 100 > max_added_percent * confirmed_count
                then {{ guard_reason('add', 'added_count', 'max_added_percent') }}
        end as held_reason
    from counted

),

-- What was sent can be taken back of a paused sync too, and without a snapshot.
judged as (

    select
        guarded.*,
        run.undoes is not null as is_undone
    from guarded
    cross join run

)

select
    * exclude (is_undone),
    case
        when is_paused and not is_undone then 'paused'
        when no_snapshot_reason is not null and not is_undone then 'no_snapshot'
        when held_reason is not null then 'held'
        else 'ready'
    end as state,
    case
        when is_undone then held_reason
        when is_paused then 'paused until relay resume'
        else coalesce(no_snapshot_reason, held_reason)
    end as reason
from judged
