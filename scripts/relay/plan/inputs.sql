-- One row per raw table that dbt reads: text that is another one when what it holds is.
-- Large tables are only added to, or changed together with a row of another load, so counting and the
-- newest load tell; small ones are hashed. Marks of having looked (`listed_at`, ledger lines
-- `checked`, the clock of the run) are nothing new.
with

config as (

    -- scripts/relay/config_tables.py writes a digest of the rows beside them.
    select
        if(table_name = 'junk_ids', 'own_junk_ids', table_name) as name,
        comment as state
    from duckdb_tables()
    where
        schema_name = 'raw'
        and database_name = current_database()
        and table_name in ('syncs', 'settings', 'junk_ids', 'identity_overrides', 'identity_namespaces', 'suppressions')

),

plans as (

    select concat_ws(' ', count(*), bit_xor(hash(plans)), (select generation from raw.ledger_generation)) as state
    from raw.plans as plans

)

select * from config
union all
select 'run', concat_ws(' ', retries_rejected, undoes) from raw.run
union all
select 'amplitude_events', concat_ws(' ', count(*), max(load_id)) from raw.amplitude_events
union all
select 'amplitude_merges', concat_ws(' ', count(*), max(load_id)) from raw.amplitude_merges
union all
select 'amplitude_cohorts', concat_ws(' ', count(*), bit_xor(hash(cohorts)))
from (select * exclude (listed_at) from raw.amplitude_cohorts) as cohorts
union all
select 'amplitude_cohort_snapshots', concat_ws(' ', count(*), max(load_id)) from raw.amplitude_cohort_snapshots
union all
select 'amplitude_cohort_members', concat_ws(' ', count(*), count(left_at), max(load_id), max(left_at))
from raw.amplitude_cohort_members
union all
select 'known_users', concat_ws(' ', count(*), max(load_id)) from raw.known_users
union all
select 'moengage_events', concat_ws(' ', count(*), max(load_id)) from raw.moengage_events
union all
select 'clevertap_events', concat_ws(' ', count(*), count(*) filter (where is_withdrawn), max(load_id))
from raw.clevertap_events
union all
select 'rejected_rows', concat_ws(' ', count(*), max(load_id)) from raw.rejected_rows
union all
select 'identities', concat_ws(' ', count(*), bit_xor(hash(identities))) from raw.identities as identities
union all
select 'plans', state from plans
union all
select 'plan_syncs', state from plans
union all
select 'plan_rows', state from plans
union all
select 'ledger_generation', cast(generation as varchar) from raw.ledger_generation
union all
select 'ledger_lines', concat_ws(' ', count(*), max(seq)) from raw.ledger_lines
where kind != 'checked'
