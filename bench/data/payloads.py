"""A payload table as the model of CleverTap's changes leaves it, and a plan sealed from it."""

from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from relay.plan.manifest import Plan, PlanSync
from relay.plan.requests import Limits
from relay.plan.seal import SealedSync, finish_plan, seal_sync, sealing_folder
from relay.settings import Home, find_project_root

# CleverTap's, of the seed `request_limits`.
LIMITS = Limits(max_records=1000, max_bytes=1_999_999)
PAYLOAD = "(select * from payloads.clevertap_cohort_changes where sync_name = 'cart')"
PREFIX, SUFFIX = '{"d":[', "]}"
# Each record begins so.
RECORD_BEGINS = '{"type":"event"'


def make_payload_table(folder: Path, size: int) -> None:
    """A payload table as the model of CleverTap's changes leaves it, a third of it removals.

    The table holds a second sync of a tenth of the size, which is not sealed.
    """
    with open_warehouse(folder) as connection:
        for schema in ("payloads", "seeds", "ledger", "cohorts"):
            connection.execute(f"create schema {schema}")
        seed = find_project_root() / "seeds" / "vendors" / "request_limits.csv"
        connection.execute(f"create table seeds.request_limits as from read_csv('{seed}')")
        connection.execute(
            """
            create table payloads.clevertap_cohort_changes as
            with keys as (
                select
                    if(number <= $size, 'cart', 'other') as sync_name,
                    number,
                    if(hash(number) % 3 = 0, 1, 2) as phase,
                    'user-' || hash(number) as key_value
                from range(1, cast($size * 1.1 as bigint) + 1) as numbers(number)
            )
            select
                sync_name,
                'clevertap' as destination,
                '1638361188' as cohort_id,
                'Cart drop-off' as cohort_name,
                row_number() over (partition by sync_name order by phase, key_value) as position,
                phase,
                left(sha256('change' || number), 32) as change_id,
                if(phase = 1, 'removed', 'added') as action,
                'entered' as reason,
                'identity' as key_type,
                key_value,
                key_value as match_key,
                [left(sha256('person' || number), 32)] as person_ids,
                ['amplitude_id:default:' || number] as anchors,
                left(sha256('payload' || number), 32) as payload_hash,
                cast(json_object(
                    'type', 'event', 'identity', key_value, 'ts', 1772452800,
                    'evtName', 'Partner Sync',
                    'evtData', json_object(
                        'Partner Segment Name', 'Cart drop-off',
                        'Action', if(phase = 1, 'Removed', 'Added'),
                        'Partner Segment ID', '1638361188',
                        'CT Source', 'Amplitude', 'Partner Name', 'Amplitude'
                    )
                ) as varchar) as record,
                $prefix as body_prefix,
                $suffix as body_suffix
            from keys
            """,
            {"size": size, "prefix": PREFIX, "suffix": SUFFIX},
        )
        connection.execute(
            "create table cohorts.desired_keys as select sync_name, key_type, match_key, key_value"
            " from payloads.clevertap_cohort_changes where phase = 2"
        )
        # Who is removed was there.
        connection.execute(
            "create table ledger.confirmed_keys as select sync_name, cohort_name, key_type,"
            " match_key, key_value, true as is_confirmed, false as is_in_doubt"
            " from payloads.clevertap_cohort_changes where phase = 1"
        )
        connection.execute(
            "create table cohorts.suppressed_keys (sync_name varchar, cohort_name varchar,"
            " key_type varchar, match_key varchar)"
        )


def open_warehouse(folder: Path) -> DuckDBPyConnection:
    """The database that `make_payload_table` made."""
    return duckdb.connect(str(folder / "relay.duckdb"))


def seal_cart(connection: DuckDBPyConnection, folder: Path) -> SealedSync:
    """Write all files of the sync into the folder."""
    return seal_sync(
        connection,
        folder,
        name="cart",
        kind="cohort_sync",
        destination="clevertap",
        delivery="events",
        payload=PAYLOAD,
    )


def seal_plan(folder: Path, home: Home) -> Plan:
    """A sealed plan of the sync alone, in the outbox of `home`."""
    sync = PlanSync(
        name="cart",
        kind="cohort_sync",
        destination="clevertap",
        delivery="events",
        cohort_id="1638361188",
        cohort_name="Cart drop-off",
        snapshot_id="1638361188@1",
        ledger_seq=0,
        state="ready",
        reason=None,
    )
    with open_warehouse(folder) as connection, sealing_folder(home) as sealing:
        sealed = seal_cart(connection, sealing)
        return finish_plan(
            home,
            sealing,
            kind="sync",
            created_at="2026-03-02T12:00:00Z",
            undoes=None,
            syncs=[sync],
            files=sealed.files,
            suppress=None,
        )
