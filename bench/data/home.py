"""A home of one cohort with five syncs, made by SQL: its snapshots, and plans that were delivered.

What loaders and uploaders would leave is put into the raw tables and files as they leave it; all
from there on is the product's own.
"""

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from duckdb import DuckDBPyConnection

from relay import warehouse
from relay.apply.ledger import Ledger
from relay.settings import Settings, load_settings

COHORT = "1638361188"
FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
# Five destinations of one cohort: the three vendors, CleverTap in three ways.
SYNCS = {
    "to-clevertap": ("clevertap", "events"),
    "to-clevertap-list": ("clevertap", "custom_list"),
    "to-clevertap-property": ("clevertap", "profile_property"),
    "to-moengage": ("moengage", None),
    "to-lytics": ("lytics", None),
}


@dataclass(frozen=True)
class CohortHome:
    """The home and the clock of its next run."""

    root: Path

    def settings(self, day: int) -> Settings:
        """As `relay` reads them on that day after the first."""
        now = (FIRST_DAY + timedelta(days=day)).isoformat()
        return load_settings(self.root, environ={"RELAY_NOW": now})


def make_home(root: Path, members: int) -> CohortHome:
    """A home with one snapshot of the cohort, of day 0: members from 1 on, each its own person."""
    root.mkdir(parents=True, exist_ok=True)
    entries = [
        f"  - {{name: {name}, cohort_id: '{COHORT}', destination: {destination}"
        + (f", delivery: {delivery}" if delivery else "")
        + ", frequency: real_time, guard: {min_members: 1000000000}}"
        for name, (destination, delivery) in SYNCS.items()
    ]
    syncs = "\n".join(["version: 1", "cohort_syncs:", *entries, ""])
    (root / "syncs.yml").write_text(syncs, encoding="utf-8")
    home = CohortHome(root)
    with warehouse.connect(home.settings(0)) as connection:
        connection.execute(
            "insert into raw.amplitude_cohorts by name select ? as cohort_id,"
            " 'Cart drop-off' as cohort_name, 829528 as app_id, ? as size,"
            " timestamp '2026-01-01' as last_computed, true as is_published,"
            " false as is_archived, true as is_finished, timestamp '2026-01-01' as listed_at",
            [COHORT, members],
        )
        _note_snapshot(connection, 0, members)
        _enter(connection, 0, 1, members)
    return home


def next_snapshot(connection: DuckDBPyConnection, day: int, *, leave: int, enter: int) -> None:
    """Fold a snapshot of that day in: the longest members leave, as many new ones enter as said."""
    at = _time(day)
    connection.execute(
        "update raw.amplitude_cohort_members set left_at = ? where amplitude_id in ("
        "select amplitude_id from raw.amplitude_cohort_members where left_at is null"
        " order by amplitude_id limit ?)",
        [at, leave],
    )
    ((last, current),) = connection.execute(
        "select max(amplitude_id), count(*) filter (where left_at is null)"
        " from raw.amplitude_cohort_members"
    ).fetchall()
    _note_snapshot(connection, day, current + enter)
    _enter(connection, day, last + 1, last + enter)


def confirm(settings: Settings, plan_id: str) -> None:
    """Have the ledger say that all rows of a plan were delivered."""
    manifest = json.loads((settings.home.outbox / plan_id / "manifest.json").read_text("utf-8"))
    with Ledger.open(settings.home) as ledger:
        for sync in manifest["syncs"]:
            ledger.append("confirmed", at=settings.now(), plan_id=plan_id, sync=sync["name"])


def copy_home(home: CohortHome, root: Path) -> CohortHome:
    """A second home that is the same."""
    shutil.copytree(home.root, root)
    return CohortHome(root)


def _note_snapshot(connection: DuckDBPyConnection, day: int, members: int) -> None:
    at = _time(day)
    connection.execute(
        "insert into raw.amplitude_cohort_snapshots values"
        " (?, ?, 'Cart drop-off', 829528, ?, ?, ?, 'amplitude_cohorts/made', 'made', ?, ?)",
        [f"{COHORT}@{at:%Y%m%dT%H%M%SZ}", COHORT, at, members, members, day + 1, at],
    )


def _enter(connection: DuckDBPyConnection, day: int, first: int, last: int) -> None:
    connection.execute(
        "insert into raw.amplitude_cohort_members by name select ? as cohort_id,"
        " number as amplitude_id, 'user-' || hash(number) as user_id, '{}' as properties,"
        " 1 as row_count, cast(? as timestamp) as entered_at,"
        " 'amplitude_cohorts/made' as source_file, ? as load_id"
        " from range(?, ?) as numbers(number)",
        [COHORT, _time(day), day + 1, first, last + 1],
    )


def _time(day: int) -> datetime:
    return (FIRST_DAY + timedelta(days=day)).replace(tzinfo=None)
