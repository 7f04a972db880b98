"""Cohort syncs from their keys on: the real models, sealing and sending, against the emulators.

Who is a member under which key is given; all that follows runs as in earnest, in a warehouse in
memory, with plans and ledger in a folder.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from compiled import CompiledModels
from membership_inputs import ANEW, BUILD_NUMBER, IDENTIFIER, KEY_HASH
from relay.apply.result import ApplyResult
from relay.apply.run import apply_plan
from relay.plan.make import PlanOutcome, PlanRequest, _seal_what_is_due
from relay.settings import Settings, load_settings
from relay.warehouse import prepare

Key = tuple[str, str]

SEEDS = Path(__file__).parents[2] / "seeds"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GIVEN = (
    "stg_amplitude__cohort_snapshots",
    "stg_amplitude__cohorts",
    "identity__resolved_persons",
    "identity__identifiers",
    "identity__scope",
    "identity__replaced_keys",
    "identity__keys",
)
MODELS = (
    "cohorts__sync_totals",
    "cohorts__suppressed_keys",
    "ledger__syncs",
    "ledger__plan_outcomes",
    "payloads__clevertap_cohort_changes",
    "payloads__moengage_cohort_changes",
    "fields__moengage_file_segments",
    "fields__moengage_match_forecast",
)


class DestinationWorld:
    """One home and its warehouse.

    Args:
        models: Compiled, with their incremental branches.
        folder: The home.
        syncs: Its syncs.yml; all cohorts in it are `c1`.
        environ: Beside the clock: where the vendors are.
    """

    def __init__(
        self,
        models: CompiledModels,
        folder: Path,
        syncs: str,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.models, self.folder, self.syncs = models, folder, syncs
        self.environ = dict(environ or {})
        self.now = NOW
        self.cohort_name = "Cart Drop off"
        folder.mkdir(parents=True, exist_ok=True)
        self.connection = duckdb.connect()
        self.connection.execute("set TimeZone = 'UTC'")
        for schema in ("seeds", "staging", "identity"):
            self.connection.execute(f"create schema {schema}")
        self.connection.execute(
            "create table seeds.request_limits as from"
            f" read_csv('{SEEDS}/vendors/request_limits.csv', header = true)"
        )
        self.connection.execute(
            f"create table seeds.junk_ids as from read_csv('{SEEDS}/mappings/junk_ids.csv',"
            " header = true, all_varchar = true, quote = '\"', escape = '\"')"
        )
        self.connection.execute("alter table seeds.junk_ids alter is_active type boolean")
        self.connection.execute(
            "create table staging.stg_amplitude__cohorts as select 'c1' as cohort_id,"
            " false as is_archived, cast(null as timestamp) as vanished_at"
        )
        self.members({})

    @property
    def settings(self) -> Settings:
        """As a command would find them now."""
        (self.folder / "syncs.yml").write_text(self.syncs, encoding="utf-8")
        environ = {**self.environ, "RELAY_NOW": self.now.isoformat()}
        return load_settings(self.folder, environ=environ)

    def members(
        self, members: Mapping[str, Iterable[Key]], suppressed: Collection[Key] = ()
    ) -> None:
        """Lay out who is a member of each sync: keys as sent; each is one person's.

        The suppressed are persons too, and without a key.
        """
        connection = self.connection
        connection.execute(
            "create or replace table identity.keys (sync_name varchar, destination varchar,"
            " cohort_id varchar, anchor_key varchar, person_id varchar, status varchar,"
            " key_type varchar,"
            " key_value varchar, match_key varchar, is_first_of_key boolean, matched_on varchar,"
            f" {KEY_HASH}, {BUILD_NUMBER})"
        )
        connection.execute(ANEW)
        connection.execute(
            "create or replace table identity.resolved_persons"
            " (person_id varchar, anchor_key varchar, anchor varchar, is_suppressed boolean)"
        )
        connection.execute(f"create or replace table identity.identifiers ({IDENTIFIER})")
        syncs = {sync.name: sync for sync in self.settings.config.cohort_syncs}
        people = sorted({*suppressed, *(key for keys in members.values() for key in keys)})
        for key_type, value in people:
            person, anchor = f"p {key_type} {value}", f"{key_type}:default:{value}"
            connection.execute(
                "insert into identity.resolved_persons values (?, ?, ?, ?)",
                [person, anchor, anchor, (key_type, value) in suppressed],
            )
            connection.execute("insert into identity.identifiers values (?, ?)", [anchor, anchor])
        for name, keys in members.items():
            destination = syncs[name].destination
            for key_type, value in keys:
                folded = value if destination == "moengage" else value.lower()
                connection.execute(
                    "insert into identity.keys values"
                    " (?, ?, 'c1', ?, ?, 'ok', ?, ?, ?, true, 'unverified')",
                    [
                        *(name, destination, f"{key_type}:default:{value}"),
                        *(f"p {key_type} {value}", key_type, value, folded),
                    ],
                )

    def plan(self, request: PlanRequest | None = None, *, undoes: str | None = None) -> PlanOutcome:
        """What `relay plan` does: bring in configuration and ledger, build, seal what is due."""
        settings = self.settings.for_run(undoes=undoes)
        prepare(self.connection, settings)
        self.connection.execute(
            "create or replace table staging.stg_amplitude__cohort_snapshots as"
            " select 'c1@1' as snapshot_id, 'c1' as cohort_id, ? as cohort_name,"
            " timestamp '2026-03-01' as last_computed_at, true as is_newest",
            [self.cohort_name],
        )
        self.models.run(self.connection, MODELS, given=GIVEN, again=True)
        return _seal_what_is_due(self.connection, settings, request or PlanRequest(force=True))

    def apply(self, outcome: PlanOutcome) -> ApplyResult:
        """Send a plan."""
        assert outcome.plan is not None
        return apply_plan(self.settings, outcome.plan)

    def file(self, outcome: PlanOutcome, name: str) -> str:
        """The text of one of a plan's files."""
        assert outcome.plan is not None
        return (outcome.plan.folder / name).read_text(encoding="utf-8")

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What a query gives."""
        return self.connection.execute(query, list(values)).fetchall()
