"""Brings syncs.yml and the CSV files it names into raw tables, for SQL to read.

All files are read and checked before any table is touched. A table is rewritten only when its rows
or columns are others than the ones it has: the digest of both stands in the table's comment, put
there last, so that a table whose writing was cut short is written again.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

from relay.config import CohortSync, Config, EventExport, Sync
from relay.own_files import read_junk_ids, read_overrides, read_suppressions
from relay.settings import Settings

Row = Mapping[str, Any]

_SYNCS = {
    "sync_name": "varchar",
    "kind": "varchar",
    "destination": "varchar",
    "cohort_id": "varchar",
    "delivery": "varchar",
    "is_enabled": "boolean",
    "frequency": "varchar",
    "at": "varchar",
    "timezone": "varchar",
    "user_id_from": "varchar[]",
    "anonymous_id_from": "varchar[]",
    "segment_name": "varchar",
    "on_unknown": "varchar",
    "max_removed_percent": "double",
    "max_added_percent": "double",
    "min_members": "bigint",
    "position": "bigint",
    "config": "json",
}
_RUN = {
    "planned_at": "timestamp",
    "retries_rejected": "boolean",
    "undoes": "varchar",
}
_SETTINGS = {
    "amplitude_project": "varchar",
    "amplitude_min_id_length": "bigint",
    "device_linking": "varchar",
    "max_user_ids_per_device": "bigint",
    "flag_amplitude_ids_per_person": "bigint",
    "flag_devices_per_person": "bigint",
    "clevertap_event_name": "varchar",
    "clevertap_match_case": "varchar",
    "clevertap_max_identity_bytes": "bigint",
    "clevertap_on_unknown": "varchar",
    "clevertap_reassert": "boolean",
    "clevertap_list_email": "varchar",
    "clevertap_list_creator": "varchar",
    "moengage_anonymous_keys": "varchar",
    "moengage_cohort_name_format": "varchar",
    "moengage_on_unknown": "varchar",
    "moengage_reassert": "boolean",
    "lytics_additional_fields": "boolean",
    "lytics_max_identifier_bytes": "bigint",
    "lytics_max_stitched_amplitude_ids": "bigint",
    "lytics_on_unknown": "varchar",
    "lytics_reassert": "boolean",
}
_JUNK_IDS = {
    "id_type": "varchar",
    "match": "varchar",
    "pattern": "varchar",
    "origin": "varchar",
    "is_active": "boolean",
    "line": "bigint",
}
_OVERRIDES = {
    "kind": "varchar",
    "left_id": "varchar",
    "right_id": "varchar",
    "note": "varchar",
    "author": "varchar",
    "decided_on": "date",
    "line": "bigint",
}
_NAMESPACES = {"project": "varchar", "namespace": "varchar"}
_SUPPRESSIONS = {
    "id_type": "varchar",
    "id_value": "varchar",
    "match": "varchar",
    "line": "bigint",
}


@dataclass(frozen=True)
class _Table:
    """A table of the raw schema as it should be: its columns with types, and its rows."""

    name: str
    columns: Mapping[str, str]
    rows: Sequence[Row]


def write_config_tables(connection: DuckDBPyConnection, settings: Settings) -> None:
    """Make `raw.syncs, run, settings, junk_ids, identity_overrides, …_namespaces, suppressions`.

    They hold the user's own rows only; shipped rows are seeds. `raw.run` is one row with the clock
    of this run: it alone changes from run to run.

    Args:
        connection: Open for writing; the schema `raw` exists.
        settings: The configuration, and where its files are.

    Raises:
        ConfigurationError: A file of the user's own is not what it must be: file, line, field.
            No table was touched.
    """
    tables = _tables(connection, settings)
    digests = dict(
        connection.execute(
            "select table_name, comment from duckdb_tables() "
            "where schema_name = 'raw' and database_name = current_database()"
        ).fetchall()
    )
    for table in tables:
        _write_if_changed(connection, table, digests.get(table.name))


def _tables(connection: DuckDBPyConnection, settings: Settings) -> list[_Table]:
    config = settings.config
    own = config.identity
    namespaces = own.namespaces
    return [
        _Table("syncs", _SYNCS, _sync_rows(settings)),
        _Table("run", _RUN, [_run_row(settings)]),
        _Table("settings", _SETTINGS, [_settings_row(settings)]),
        _Table("junk_ids", _JUNK_IDS, read_junk_ids(own.junk_ids, connection)),
        _Table(
            "identity_overrides", _OVERRIDES, read_overrides(own.overrides, namespaces.values())
        ),
        _Table(
            "identity_namespaces",
            _NAMESPACES,
            [{"project": project, "namespace": name} for project, name in namespaces.items()],
        ),
        _Table("suppressions", _SUPPRESSIONS, read_suppressions(config.suppress, connection)),
    ]


def _sync_rows(settings: Settings) -> list[Row]:
    return [
        _sync_row(position, sync, settings)
        for position, sync in enumerate(settings.config.syncs, start=1)
    ]


def _sync_row(position: int, sync: Sync, settings: Settings) -> Row:
    config = settings.config
    row: dict[str, Any] = {
        "sync_name": sync.name,
        "kind": sync.kind,
        "destination": sync.destination,
        "is_enabled": sync.enabled,
        "frequency": sync.frequency,
        "on_unknown": config.on_unknown_of(sync),
        "timezone": settings.zone_of(sync).key,
        "user_id_from": [],
        "anonymous_id_from": [],
        "position": position,
        "config": sync.model_dump(mode="json", by_alias=True),
    }
    if isinstance(sync, CohortSync):
        row |= _cohort_sync_columns(sync, config)
    elif isinstance(sync, EventExport):
        row |= {
            "user_id_from": [sync.user_id_from],
            "anonymous_id_from": [] if sync.device_id_from == "none" else [sync.device_id_from],
        }
        row["config"]["residency"] = settings.residency_of(sync)
    return row


def _cohort_sync_columns(sync: CohortSync, config: Config) -> Row:
    guard = config.guard_of(sync).model_dump()
    return {
        "cohort_id": sync.cohort_id,
        "delivery": sync.delivery,
        "at": sync.at if sync.frequency == "daily" else None,
        "user_id_from": list(sync.user_id_from),
        "anonymous_id_from": list(sync.anonymous_id_from),
        "segment_name": sync.segment_name,
        **guard,
    }


def _run_row(settings: Settings) -> Row:
    return {
        "planned_at": settings.now().replace(tzinfo=None).isoformat(),
        "retries_rejected": settings.run.retries_rejected,
        "undoes": settings.run.undoes,
    }


def _settings_row(settings: Settings) -> Row:
    config = settings.config
    return {
        "amplitude_project": config.amplitude.project,
        "amplitude_min_id_length": config.amplitude.min_id_length,
        "device_linking": config.identity.device_linking,
        "max_user_ids_per_device": config.identity.max_user_ids_per_device,
        "flag_amplitude_ids_per_person": config.identity.flag_amplitude_ids_per_person,
        "flag_devices_per_person": config.identity.flag_devices_per_person,
        **_prefixed("clevertap", config.clevertap.model_dump()),
        **_prefixed("moengage", config.moengage.model_dump()),
        **_prefixed("lytics", config.lytics.model_dump()),
    }


def _prefixed(prefix: str, values: Mapping[str, Any]) -> Row:
    return {f"{prefix}_{key}": value for key, value in values.items()}


def _write_if_changed(connection: DuckDBPyConnection, table: _Table, comment: str | None) -> None:
    rows = json.dumps(_complete(table), ensure_ascii=False)
    digest = hashlib.sha256(f"{_ddl(table)}\n{rows}".encode()).hexdigest()
    if comment == digest:
        return
    connection.execute(f"create or replace table raw.{table.name} ({_ddl(table)})")
    # One parameter and one statement, whatever the number of rows.
    shape = json.dumps([{name: _json_type(type_name) for name, type_name in table.columns.items()}])
    connection.execute(
        f"insert into raw.{table.name} "
        f"select unnest(from_json(?::json, '{shape}'), max_depth := 2)",
        [rows],
    )
    connection.execute(f"comment on table raw.{table.name} is '{digest}'")


def _complete(table: _Table) -> Iterable[Row]:
    unknown = {key for row in table.rows for key in row} - set(table.columns)
    if unknown:
        raise KeyError(f"raw.{table.name} has no column for {sorted(unknown)}")
    return [{name: row.get(name) for name in table.columns} for row in table.rows]


def _ddl(table: _Table) -> str:
    return ", ".join(f'"{name}" {type_name}' for name, type_name in table.columns.items())


def _json_type(type_name: str) -> str | list[str]:
    return [type_name.removesuffix("[]")] if type_name.endswith("[]") else type_name
