"""What the rooms `ledger` and `cohorts` read of the others, for one cohort: its syncs and settings.

Persons and their keys are given by who uses this; plans and ledger lines go into the raw tables.
"""

from collections.abc import Mapping
from importlib import resources

from duckdb import DuckDBPyConnection

GIVEN = (
    "stg_relay__syncs",
    "stg_relay__settings",
    "stg_relay__run",
    "stg_amplitude__cohort_snapshots",
    "stg_amplitude__cohorts",
    "identity__resolved_persons",
    "identity__identifiers",
    "identity__scope",
    "identity__replaced_keys",
    "identity__keys",
)
# Columns of `identity.identifiers` for an anchor key and an identifier as anchors are written.
IDENTIFIER = (
    "anchor_key varchar, identifier varchar, id_type varchar as (split_part(identifier, ':', 1)),"
    " namespace varchar as (split_part(identifier, ':', 2)),"
    " id_value varchar as (split_part(identifier, ':', 3)),"
    " identifier_key uuid as (cast(left(sha256(identifier), 32) as uuid))"
)
# A column of `identity.keys` that fills itself, as identity fills it.
KEY_HASH = (
    "key_hash ubigint as"
    " (if(status = 'ok' and is_first_of_key, hash(hash(key_type, match_key)), null))"
)
# Where a test gives identity's tables whole: every key is new.
ANEW = """
create or replace table identity.scope as select 1 as build_number, true as keys_is_new;
create or replace table identity.replaced_keys (
    anchor_key varchar, sync_name varchar, key_type varchar, match_key varchar, key_hash ubigint
);
"""
BUILD_NUMBER = "build_number integer as (1)"
SETTINGS = """
create table staging.stg_relay__settings as
select true as clevertap_reassert, true as moengage_reassert, true as lytics_reassert;
create table staging.stg_relay__run as
select
    timestamp '2026-03-01' as planned_at,
    false as retries_rejected,
    cast(null as varchar) as undoes;
create table staging.stg_amplitude__cohorts as
select '7' as cohort_id, false as is_archived, cast(null as timestamp) as vanished_at;
create table staging.stg_amplitude__cohort_snapshots as
select
    '7@1' as snapshot_id,
    '7' as cohort_id,
    'Cart' as cohort_name,
    timestamp '2026-03-01' as last_computed_at,
    true as is_newest;
"""


def lay_out_cohort(connection: DuckDBPyConnection, syncs: Mapping[str, tuple[str, str]]) -> None:
    """Make the raw tables, empty, and what staging says of cohort 7, `Cart`, and its syncs.

    Args:
        connection: Of an empty database.
        syncs: By their names, destination and `on_unknown`.
    """
    connection.execute(resources.files("relay").joinpath("raw.sql").read_text(encoding="utf-8"))
    connection.execute("insert into raw.ledger_generation values (1)")
    for schema in ("staging", "identity"):
        connection.execute(f"create schema {schema}")
    connection.execute(SETTINGS)
    connection.execute(ANEW)
    connection.execute(
        "create table staging.stg_relay__syncs (sync_name varchar, kind varchar,"
        " destination varchar, cohort_id varchar, delivery varchar, is_enabled boolean,"
        " segment_name varchar, on_unknown varchar, max_removed_percent double,"
        " max_added_percent double, min_members bigint)"
    )
    for name, (destination, on_unknown) in syncs.items():
        connection.execute(
            "insert into staging.stg_relay__syncs values (?, 'cohort_sync', ?, '7', 'events',"
            " true, null, ?, 30, 300, 50)",
            [name, destination, on_unknown],
        )
