"""A home in which everything is real but dbt and identity: plans are made, sealed, sent, undone.

Who is a member under which key is given; the ledger's, the cohorts' and two payload models run as
compiled SQL on the home's own warehouse, taking in what is new as a second build does.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from duckdb import DuckDBPyConnection

from apply.sealed import KEYS
from apply.vendors import Vendors
from compiled import CompiledModels
from membership_inputs import ANEW, BUILD_NUMBER, IDENTIFIER, KEY_HASH
from relay import warehouse
from relay.apply.decisions import confirm
from relay.apply.ledger import Ledger
from relay.apply.result import ApplyResult
from relay.apply.run import apply_plan
from relay.plan.make import PlanOutcome, PlanRequest, make_plan, make_undo
from relay.plan.manifest import Plan, PlanSync, read_plan
from relay.settings import Settings, load_settings

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
COMPUTED = (NOW - timedelta(days=1)).replace(tzinfo=None)
CART, LOYAL = "cart", "loyal"
SYNCS = """\
version: 1
cohort_syncs:
  - {name: ct, cohort_id: cart, destination: clevertap}
  - {name: moe, cohort_id: loyal, destination: moengage}
"""
LIMITS = Path(__file__).parents[3] / "seeds" / "vendors" / "request_limits.csv"
GIVEN = (
    "stg_amplitude__cohort_snapshots",
    "stg_amplitude__cohorts",
    "identity__resolved_persons",
    "identity__identifiers",
    "identity__scope",
    "identity__replaced_keys",
    "identity__keys",
    "identity__attributed_sightings",
)
MODELS = (
    "cohorts__sync_totals",
    "cohorts__suppressed_keys",
    "payloads__clevertap_cohort_changes",
    "payloads__moengage_cohort_changes",
    "fields__moengage_file_segments",
    "fields__moengage_match_forecast",
    "ledger__row_outcomes",
    "ledger__plan_outcomes",
)
LEDGER = (
    "ledger__syncs",
    "ledger__confirmed_keys",
    "ledger__row_outcomes",
    "ledger__plan_outcomes",
    "reports__confirmed_memberships",
    "reports__deliveries",
)
FOLDED = ("key_states", "plan_totals", "segments")


@dataclass
class Cohort:
    """A cohort as Amplitude and identity tell of it.

    Attributes:
        name: Of the cohort.
        members: The key of each member; a status such as `no_key` or `suppressed` in its place.
        spelt: How a key is sent where it is not in capitals.
        computed: Counts up with each snapshot; 0: none was loaded.
        is_archived: In Amplitude's list.
        rows: Profiles in the snapshot; None: as many as members.
        declared: What Amplitude says they are; None: as many.
    """

    name: str
    members: dict[str, str] = field(default_factory=dict)
    spelt: dict[str, str] = field(default_factory=dict)
    computed: int = 1
    is_archived: bool = False
    vanished: bool = False
    rows: int | None = None
    declared: int | None = None


STATUSES = ("no_key", "suppressed", "unmatched")


@dataclass
class Desk:
    """One home; `at` is its clock."""

    folder: Path
    models: CompiledModels
    syncs: str = SYNCS
    at: datetime = NOW
    cohorts: dict[str, Cohort] = field(default_factory=dict)
    vendors: Vendors = field(default_factory=Vendors)
    known: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.cohorts = self.cohorts or {CART: Cohort("Cart"), LOYAL: Cohort("Loyal")}

    @property
    def settings(self) -> Settings:
        """As the command would read them now."""
        (self.folder / "syncs.yml").write_text(self.syncs, encoding="utf-8")
        return load_settings(self.folder, environ=KEYS | {"RELAY_NOW": self.at.isoformat()})

    def let_in(self, cohort_id: str, *people: str) -> None:
        """Only these are members now, each under a key of their own name, lower case."""
        cohort = self.cohorts[cohort_id]
        cohort.members = {person: person.lower() for person in people}
        cohort.computed += 1

    # --- commands --------------------------------------------------------------------------------

    def plan(self, *names: str, **request: Any) -> PlanOutcome:
        """`relay plan`."""
        with warehouse.lock(self.settings.home, "relay plan"):
            return make_plan(self.settings, PlanRequest(syncs=names, **request))

    def undo(self, plan: Plan) -> PlanOutcome:
        """`relay undo`."""
        with warehouse.lock(self.settings.home, "relay undo"):
            return make_undo(self.settings, plan.plan_id)

    def apply(self, plan: Plan, *approve: str) -> ApplyResult:
        """`relay apply`, the vendors being who they are told to be."""
        sealed = read_plan(self.settings.home, plan.plan_id)
        with warehouse.lock(self.settings.home, "relay apply"):
            return apply_plan(
                self.settings, sealed, approve=approve, transport=self.vendors.transport
            )

    def confirm(self, plan: Plan, *syncs: str) -> dict[str, int]:
        """`relay confirm`."""
        with Ledger.open(self.settings.home) as ledger:
            return confirm(ledger, plan, at=self.at, syncs=syncs or None)

    def sync(self, *approve: str, **request: Any) -> ApplyResult:
        """Plan what there is and send it."""
        return self.apply(sealed(self.plan(**request)), *approve)

    def wait(self, **time: float) -> None:
        """Let time pass; without a word, a day."""
        self.at += timedelta(**time) if time else timedelta(days=1)

    # --- what dbt would do -----------------------------------------------------------------------

    def build(self, settings: Settings, arguments: Sequence[str] = ()) -> int:
        """In place of `relay.plan.build.build`."""
        # In one transaction, for speed alone.
        with warehouse.connect(settings) as connection, warehouse.transaction(connection):
            self._give(connection)
            self._run(connection, MODELS)
        return 0

    def rebuild_ledger(self, *more: str) -> None:
        """In place of what `apply` ends with; `more` models besides."""
        with warehouse.connect(self.settings) as connection, warehouse.transaction(connection):
            self._run(connection, (*LEDGER, *more))

    def forget_warehouse(self) -> None:
        """What `rm -r warehouse` does."""
        shutil.rmtree(self.settings.home.warehouse)

    def _run(self, connection: DuckDBPyConnection, names: Sequence[str]) -> None:
        # The hook of the incremental models.
        for (table,) in connection.execute(
            "select table_name from duckdb_tables() where schema_name = 'ledger'"
        ).fetchall():
            if table in FOLDED:
                connection.execute(
                    f"delete from ledger.{table}"
                    " where generation != (select generation from raw.ledger_generation)"
                )
        self.models.run(connection, names, given=GIVEN, again=True)

    def _give(self, connection: DuckDBPyConnection) -> None:
        for schema in ("staging", "identity", "ledger", "cohorts", "seeds"):
            connection.execute(f"create schema if not exists {schema}")
        connection.execute(ANEW)
        connection.execute(
            f"create or replace table seeds.request_limits as from read_csv('{LIMITS}')"
        )
        syncs = connection.execute(
            "select sync_name, destination, cohort_id from raw.syncs where kind = 'cohort_sync'"
        ).fetchall()
        self.known |= {who for one in self.cohorts.values() for who in one.members}
        people = sorted(self.known)
        suppressed = {
            who
            for one in self.cohorts.values()
            for who, k in one.members.items()
            if k == "suppressed"
        }
        _table(
            connection,
            "staging.stg_amplitude__cohorts",
            "cohort_id varchar, is_archived boolean, vanished_at timestamp",
            [
                (name, one.is_archived, NOW.replace(tzinfo=None) if one.vanished else None)
                for name, one in self.cohorts.items()
            ],
        )
        _table(
            connection,
            "staging.stg_amplitude__cohort_snapshots",
            "snapshot_id varchar, cohort_id varchar, cohort_name varchar,"
            " last_computed_at timestamp, declared_size bigint, row_count bigint,"
            " is_newest boolean",
            [
                (
                    *(f"{name}@{one.computed}", name, one.name),
                    COMPUTED + timedelta(minutes=one.computed),
                    one.declared if one.declared is not None else _rows(one),
                    *(_rows(one), True),
                )
                for name, one in self.cohorts.items()
                if one.computed
            ],
        )
        _table(
            connection,
            "identity.resolved_persons",
            "person_id varchar, anchor_key varchar, anchor varchar, is_suppressed boolean",
            [(f"p-{who}", who, f"user_id:default:{who}", who in suppressed) for who in people],
        )
        _table(
            connection,
            "identity.identifiers",
            IDENTIFIER,
            [(who, f"user_id:default:{who}") for who in people],
        )
        _table(
            connection,
            "identity.attributed_sightings",
            "open_cohort_id varchar, identifier_key varchar, open_rows_count bigint",
            [(name, who, 1) for name, one in self.cohorts.items() for who in one.members],
        )
        _table(
            connection,
            "identity.keys",
            "sync_name varchar, destination varchar, cohort_id varchar, anchor_key varchar,"
            " person_id varchar, status varchar, detail varchar, key_type varchar,"
            " key_value varchar, match_key varchar, is_first_of_key boolean, matched_on varchar,"
            f" {KEY_HASH}, {BUILD_NUMBER}",
            [
                (sync, destination, cohort_id, *_key(destination, who, key, one))
                for sync, destination, cohort_id in syncs
                for one in [self.cohorts[cohort_id]]
                for who, key in sorted(one.members.items())
            ],
        )

    # --- what is there ---------------------------------------------------------------------------

    def read(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of a query on the warehouse."""
        with duckdb.connect(str(self.settings.home.database)) as connection:
            return connection.execute(query, list(values)).fetchall()

    def confirmed(self, sync: str) -> list[str]:
        """Keys that are confirmed, as the ledger has it now."""
        self.rebuild_ledger()
        rows = self.read(
            "select match_key from ledger.confirmed_keys where sync_name = ? and is_confirmed"
            " order by match_key",
            sync,
        )
        return [key for (key,) in rows]


def _rows(cohort: Cohort) -> int:
    return len(cohort.members) if cohort.rows is None else cohort.rows


def _key(destination: str, who: str, key: str, cohort: Cohort) -> tuple[Any, ...]:
    if key in STATUSES:
        return (who, f"p-{who}", key, "no_identifier", None, None, None, False, None)
    kind = "user_id" if destination == "moengage" else "identity"
    first = min(one for one, its in cohort.members.items() if its == key)
    value = cohort.spelt.get(key, key.upper())
    return (who, f"p-{who}", "ok", None, kind, value, key, who == first, "unverified")


def _table(
    connection: DuckDBPyConnection, name: str, columns: str, rows: Sequence[tuple[Any, ...]]
) -> None:
    connection.execute(f"create or replace table {name} ({columns})")
    if rows:
        marks = f"({', '.join('?' * len(rows[0]))})"
        values = [value for row in rows for value in row]
        connection.execute(f"insert into {name} values {', '.join([marks] * len(rows))}", values)


def sealed(outcome: PlanOutcome) -> Plan:
    """The plan that there must be."""
    assert outcome.plan is not None, [(one.name, one.state, one.reason) for one in outcome.syncs]
    return outcome.plan


def one(outcome: PlanOutcome, name: str) -> PlanSync:
    """A sync as the plan left it."""
    return next(sync for sync in outcome.syncs if sync.name == name)


def rows_of(plan: Plan, sync: str) -> list[tuple[str, str, str]]:
    """Action, match key and reason of each row, in the order of sending."""
    file = plan.file(sync, "rows")
    assert file is not None
    return duckdb.sql(
        "select action, match_key, reason from"
        f" read_parquet('{plan.folder / file.path}') order by request, position"
    ).fetchall()


def outcomes(result: ApplyResult, name: str) -> str:
    """The outcomes of a sync that are not 0, such as `delivered 3 unknown 2`."""
    sync = next(sync for sync in result.syncs if sync.name == name)
    kinds = ("delivered", "rejected", "unknown", "held", "pending", "superseded")
    return " ".join(f"{kind} {getattr(sync, kind)}" for kind in kinds if getattr(sync, kind))


Open = Callable[..., Desk]


@pytest.fixture
def open_desk(
    tmp_path: Path, models_built_again: CompiledModels, monkeypatch: pytest.MonkeyPatch
) -> Open:
    """Make a desk; what follows of one test may make several, in folders of their own."""

    def make(name: str = "home", **given: Any) -> Desk:
        desk = Desk(tmp_path / name, models_built_again, **given)
        monkeypatch.setattr("relay.plan.make.build", desk.build)
        return desk

    return make
