"""Small worlds for the identity rules: rows as loaders leave them, resolved by the real models."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
from duckdb import DuckDBPyConnection

from identity_builds import IdentityBuilds
from relay.settings import load_settings
from relay.warehouse import prepare

MemberRow = tuple[int | None, str | None, str | None]
"""Amplitude id, user id and properties as JSON."""

MAPPINGS = Path(__file__).parents[2] / "seeds" / "mappings"
DAY = datetime(2026, 3, 1)  # noqa: DTZ001 (raw timestamps are UTC without a zone)


def at(clock: str | float | None) -> datetime | None:
    """`9:30`, or hours as a number, on the first day of March; None is a row without a time."""
    if clock is None:
        return None
    if isinstance(clock, str):
        hours, _, minutes = clock.partition(":")
        return DAY + timedelta(hours=int(hours), minutes=int(minutes or 0))
    return DAY + timedelta(hours=clock)


def uuid_of(name: str) -> str:
    """A uuid that a short name of a row stands for; the same name gives the same uuid."""
    return str(UUID(bytes=hashlib.sha256(name.encode()).digest()[:16], version=4))


def person_id_of(anchor: str) -> str:
    """ID-12, written from its text."""
    return "p_" + hashlib.sha256(anchor.encode()).hexdigest()[:32]


@dataclass
class World:
    """A warehouse in memory; what is added is as if a loader had loaded it."""

    models: IdentityBuilds
    folder: Path
    connection: DuckDBPyConnection = field(init=False)
    load_id: int = 1
    _count: int = 0
    _snapshots: dict[str, dict[datetime, Counter[MemberRow]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.connection = duckdb.connect()
        self.connection.execute("set TimeZone = 'UTC'")
        self.connection.execute("set threads = 1")
        prepare(self.connection, load_settings(self.folder, environ={}))
        self.connection.execute("delete from raw.syncs")
        self.connection.execute("create schema seeds")
        for seed in ("junk_ids", "moengage_blocked_ids"):
            self.connection.execute(
                f"create table seeds.{seed} as from read_csv('{MAPPINGS / seed}.csv',"
                " header = true, all_varchar = true, escape = '\"')"
            )
        self.connection.execute("alter table seeds.junk_ids alter is_active type boolean")

    def event(
        self,
        clock: str | float | None,
        amplitude_id: int | None = None,
        user_id: str | None = None,
        device_id: str | None = None,
        *,
        name: str | None = None,
        uuid: str | None = None,
        app: int | None = None,
        properties: Mapping[str, Any] | None = None,
        insert_id: str | None = None,
        event_properties: Mapping[str, Any] | None = None,
    ) -> str:
        """One row of the event export; gives its uuid."""
        self._count += 1
        key = uuid or uuid_of(name or f"row {self._count}")
        self.connection.execute(
            'insert into raw.amplitude_events (uuid, "$insert_id", app, amplitude_id, user_id,'
            " device_id, event_type, event_time, server_upload_time, user_properties,"
            " event_properties, source_file, line_number, load_id, loaded_at)"
            " values (?, ?, ?, ?, ?, ?, 'Visit', ?, ?, ?, ?, 'test', 1, ?, ?)",
            [
                key,
                insert_id or key,
                app,
                amplitude_id,
                user_id,
                device_id,
                at(clock),
                at(clock) or DAY,
                json.dumps(properties or {}),
                json.dumps(event_properties or {}),
                self.load_id,
                DAY,
            ],
        )
        return key

    def merge(
        self, amplitude_id: int, into: int, clock: str | float = 0, *, scope: int | None = None
    ) -> None:
        """One row of a merged-ids file."""
        moment = at(clock)
        assert moment is not None
        milliseconds = int((moment - datetime(1970, 1, 1)).total_seconds() * 1000)  # noqa: DTZ001
        self.connection.execute(
            "insert into raw.amplitude_merges values (?, ?, ?, ?, ?, 'merges', ?, ?)",
            [scope, milliseconds, milliseconds, amplitude_id, into, self.load_id, DAY],
        )

    def cohort(
        self,
        cohort_id: str,
        rows: Sequence[
            tuple[int | None, str | None] | tuple[int | None, str | None, dict[str, Any]]
        ],
        clock: str | float = 23,
        *,
        app: int | None = None,
    ) -> None:
        """A snapshot of a cohort, in any order: rows of (amplitude id, user id[, properties])."""
        computed = at(clock)
        assert computed is not None
        self.connection.execute(
            "insert into raw.amplitude_cohort_snapshots values"
            " (?, ?, ?, ?, ?, ?, ?, 'cohort', 'hash', ?, ?)",
            [
                f"{cohort_id}@{computed}",
                cohort_id,
                f"Cohort {cohort_id}",
                app,
                computed,
                len(rows),
                len(rows),
                self.load_id,
                DAY,
            ],
        )
        snapshots = self._snapshots.setdefault(cohort_id, {})
        snapshots[computed] = Counter(
            (row[0], row[1], json.dumps(row[2]) if len(row) > 2 else None) for row in rows
        )
        self._write_runs(cohort_id, snapshots)

    def _write_runs(self, cohort_id: str, snapshots: Mapping[datetime, Counter[MemberRow]]) -> None:
        """Each row of the cohort's files with the runs of snapshots that hold it."""
        runs: list[list[Any]] = []
        standing: dict[tuple[MemberRow, int], list[Any]] = {}
        for computed in sorted(snapshots):
            now = set(snapshots[computed].items())
            for gone in standing.keys() - now:
                standing.pop(gone)[6] = computed
            for row, count in sorted(now - standing.keys(), key=repr):
                run = [cohort_id, *row, count, computed, None, "cohort", self.load_id]
                standing[row, count] = run
                runs.append(run)
        self.connection.execute(
            "delete from raw.amplitude_cohort_members where cohort_id = ?", [cohort_id]
        )
        if runs:
            self.connection.executemany(
                "insert into raw.amplitude_cohort_members values (?, ?, ?, ?, ?, ?, ?, ?, ?)", runs
            )

    def sync(
        self,
        name: str,
        cohort_id: str,
        destination: str,
        user_id_from: Sequence[str] = ("user_id",),
        anonymous_id_from: Sequence[str] = ("device_id",),
    ) -> None:
        """One entry of `cohort_syncs`."""
        self.connection.execute(
            "insert into raw.syncs (sync_name, kind, destination, cohort_id, delivery, is_enabled,"
            ' user_id_from, anonymous_id_from, on_unknown, "position")'
            " values (?, 'cohort_sync', ?, ?, 'events', true, ?, ?, ?, 1)",
            [
                *(name, destination, cohort_id, list(user_id_from), list(anonymous_id_from)),
                "hold" if destination == "clevertap" else "resend",
            ],
        )

    def setting(self, name: str, value: Any) -> None:
        """Change one column of the settings row."""
        self.connection.execute(f"update raw.settings set {name} = ?", [value])

    def override(self, kind: str, left: str, right: str) -> None:
        """One line of the overrides file."""
        self.connection.execute(
            "insert into raw.identity_overrides (kind, left_id, right_id, line) select ?, ?, ?,"
            " count(*) + 2 from raw.identity_overrides",
            [kind, left, right],
        )

    def junk(self, id_type: str, match: str, pattern: str) -> None:
        """One line of the user's own junk file."""
        self.connection.execute(
            'insert into raw.junk_ids (id_type, "match", pattern, origin, is_active)'
            " values (?, ?, ?, 'test', true)",
            [id_type, match, pattern],
        )

    def namespace(self, project: str, name: str) -> None:
        """One project of another organisation."""
        self.connection.execute(
            "insert into raw.identity_namespaces values (?, ?)", [project, name]
        )

    def suppress(self, id_type: str, value: str, match: str = "exact") -> None:
        """One line of the suppress file."""
        self.connection.execute(
            'insert into raw.suppressions (id_type, id_value, "match", line)'
            " select ?, ?, ?, count(*) + 2 from raw.suppressions",
            [id_type, value, match],
        )

    def known_user(
        self, destination: str, user_key: str | None, anonymous_key: str | None = None
    ) -> None:
        """One row of a destination's directory."""
        self.connection.execute(
            "insert into raw.known_users values (?, ?, ?, 'directory', ?, ?)",
            [destination, user_key, anonymous_key, self.load_id, DAY],
        )

    def build(self) -> None:
        """Resolve everything there is; what is added afterwards is another load."""
        self.models.build(self.connection)
        self.load_id += 1

    def people(self) -> set[frozenset[str]]:
        """The persons as sets of `812`, `Ann` and `device d-1`."""
        rows = self.connection.execute(
            "select list(if(id_type = 'device_id', 'device ', '') || id_value)"
            " from identity.person_ids group by person_id"
        ).fetchall()
        return {frozenset(row[0]) for row in rows}

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query finds."""
        return self.connection.execute(query).fetchall()
