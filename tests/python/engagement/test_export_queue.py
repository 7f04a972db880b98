"""An export's queue over random histories: a look at what is new gives what a look at all would.

The model and its hook are run as plain SQL; a few lines of Python keep what each event's plans have
said.
"""

import random
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import duckdb
import jinja2
import pytest

from compiled import CompiledModels
from engagement.world import PROJECT, raw_warehouse

NOON = datetime(2026, 3, 2, 12)  # noqa: DTZ001
EXPORTS = ("one", "two")


@dataclass
class Row:
    """One event in one plan, and what came of it."""

    outcome: str = "pending"
    attempted_at: datetime | None = None


@dataclass
class History:
    """What was loaded, planned and answered so far."""

    random: random.Random
    definition: dict[str, str] = field(default_factory=lambda: dict.fromkeys(EXPORTS, "d1"))
    generation: int = 1
    loads: int = 0
    events: dict[str, int] = field(default_factory=dict)
    plans: dict[str, tuple[str, dict[str, Row]]] = field(default_factory=dict)
    last_seq: dict[str, int] = field(default_factory=dict)
    seq: int = 0
    planned: int = 0

    def selected(self, sync: str, event: str) -> bool:
        """What an export selects depends on its definition alone."""
        return int(event) % (2 if self.definition[sync] == "d2" else 3) != 0

    def expected(self, sync: str) -> dict[str, tuple[Any, ...]]:
        """Event: (load, outcome, its plan, first attempt), of all that is not delivered."""
        waiting = {}
        for event, load in self.events.items():
            rows = {
                plan: rows[event]
                for plan, (name, rows) in sorted(self.plans.items())
                if name == sync and event in rows and plan in self.last_seq
            }
            said = {p: r for p, r in rows.items() if r.outcome in {"rejected", "unknown"}}
            if not self.selected(sync, event) or any(
                row.outcome == "delivered" for row in rows.values()
            ):
                continue
            last = max(said, default=None)
            attempts = [row.attempted_at for row in rows.values() if row.attempted_at]
            waiting[event] = (
                load,
                said[last].outcome if last else None,
                last,
                min(attempts, default=None),
            )
        return waiting

    def load(self) -> None:
        self.loads += 1
        for _ in range(self.random.randint(0, 4)):
            self.events[str(len(self.events) + 1)] = self.loads

    def plan(self) -> None:
        sync = self.random.choice(EXPORTS)
        waiting = list(self.expected(sync))
        some = self.random.sample(waiting, min(len(waiting), self.random.randint(1, 5)))
        if some:
            self.planned += 1
            name = f"2026{self.planned:04d}-{sync}"
            self.plans[name] = (sync, {event: Row() for event in some})

    def answer(self) -> None:
        if not self.plans:
            return
        # Any plan may still be told something: resolved, sent on, confirmed.
        plan = self.random.choice(list(self.plans))
        for row in self.plans[plan][1].values():
            if row.outcome in {"pending", "unknown"} and self.random.random() < 0.6:
                row.outcome = self.random.choice(["delivered", "rejected", "unknown", "pending"])
                row.attempted_at = row.attempted_at or NOON + timedelta(minutes=self.seq)
        self.seq += 1
        self.last_seq[plan] = self.seq

    def redefine(self) -> None:
        sync = self.random.choice(EXPORTS)
        self.definition[sync] = self.random.choice(["d1", "d2"])

    def lose_a_plan(self) -> None:
        """A plan and its ledger file are gone: what was folded from them is folded anew."""
        if self.plans:
            plan = self.random.choice(list(self.plans))
            del self.plans[plan]
            self.last_seq.pop(plan, None)
            self.generation += 1

    def step(self) -> None:
        steps = [self.load, self.plan, self.answer, self.answer, self.redefine, self.lose_a_plan]
        self.random.choices(steps, weights=[6, 5, 5, 5, 1, 1])[0]()


def warehouse() -> duckdb.DuckDBPyConnection:
    connection = raw_warehouse()
    for schema in ("staging", "ledger", "events"):
        connection.execute(f"create schema {schema}")
    return connection


def give(connection: duckdb.DuckDBPyConnection, history: History) -> None:
    """Lay the history out as the queue's inputs."""
    connection.execute("delete from raw.ledger_generation")
    connection.execute("insert into raw.ledger_generation values (?)", [history.generation])
    connection.execute(
        "create or replace table events.exports (sync_name varchar, definition_hash varchar)"
    )
    connection.executemany(
        "insert into events.exports values (?, ?)", list(history.definition.items())
    )
    connection.execute(
        "create or replace table events.export_events"
        " (sync_name varchar, event_id varchar, load_id bigint, drop_reason varchar)"
    )
    selected = [
        (sync, event, load)
        for event, load in history.events.items()
        for sync in EXPORTS
        if history.selected(sync, event)
    ]
    if selected:
        connection.executemany("insert into events.export_events values (?, ?, ?, null)", selected)
    for name in ("stg_moengage__events", "stg_clevertap__events"):
        connection.execute(
            f"create or replace table staging.{name} as"
            f" select cast(unnest(range(1, {history.loads + 1})) as bigint) as load_id"
        )
    connection.execute(
        "create or replace table staging.stg_ledger__lines (seq bigint, plan_id varchar)"
    )
    connection.execute(
        "create or replace table ledger.row_outcomes (sync_name varchar, change_id varchar,"
        " plan_id varchar, sync_kind varchar, outcome varchar, payload_hash varchar,"
        " attempted_at timestamp)"
    )
    if history.last_seq:
        connection.executemany(
            "insert into staging.stg_ledger__lines values (?, ?)",
            [(seq, plan) for plan, seq in history.last_seq.items()],
        )
    rows = [
        (sync, event, plan, row.outcome, f"h{event}", row.attempted_at)
        for plan, (sync, events) in history.plans.items()
        for event, row in events.items()
    ]
    if rows:
        connection.executemany(
            "insert into ledger.row_outcomes values (?, ?, ?, 'event_export', ?, ?, ?)", rows
        )


def look(connection: duckdb.DuckDBPyConnection, query: str, table: str) -> None:
    """What dbt does with the strategy `replace_all`: the query's rows instead of the former."""
    connection.execute(f"create or replace temp table looked as {query}")
    connection.execute(f"create or replace table {table} as from looked")


def queries_of(compiled: CompiledModels) -> tuple[str, str]:
    """The model as its full refresh and as its incremental look."""
    full = compiled.code("events__export_queue")
    former = re.compile(r"(former as \()(.*?)(\n\),)", re.DOTALL)
    incremental = former.sub(r"\1 select * from events.export_queue \3", full, count=1)
    return full, incremental


def hook() -> str:
    """What is run before an incremental look."""
    macro = (PROJECT / "macros" / "remember_seen_load.sql").read_text(encoding="utf-8")
    template = jinja2.Template(macro + "{{ remember_seen_load('events.export_queue') }}")
    return template.render(
        is_incremental=lambda: True,
        ref=lambda name: name.replace("__", "."),
        source=lambda schema, name: f"{schema}.{name}",
    )


def rows_of(connection: duckdb.DuckDBPyConnection, table: str) -> list[tuple[Any, ...]]:
    return connection.execute(f"from {table} order by all").fetchall()


@pytest.mark.parametrize("seed", range(6))
def test_a_look_at_what_is_new_equals_a_look_at_everything(
    compiled_models: CompiledModels, seed: int
) -> None:
    full, incremental = queries_of(compiled_models)
    history = History(random.Random(seed))
    connection = warehouse()
    give(connection, history)
    look(connection, full, "events.export_queue")
    for _ in range(20):
        for _ in range(history.random.randint(1, 3)):
            history.step()
        give(connection, history)
        connection.execute(hook())
        look(connection, incremental, "events.export_queue")
        connection.execute("set variable seen_load = 0")
        look(connection, full, "events.whole_queue")
        assert rows_of(connection, "events.export_queue") == rows_of(
            connection, "events.whole_queue"
        ), f"seed {seed}"
        for sync in EXPORTS:
            found = connection.execute(
                "select event_id, load_id, outcome, outcome_plan_id, first_attempted_at"
                " from events.export_queue where sync_name = ? and event_id is not null",
                [sync],
            ).fetchall()
            assert {event: tuple(rest) for event, *rest in found} == history.expected(sync)
