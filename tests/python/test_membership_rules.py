"""DESIGN §3 and identity.md ID-22, ID-23 against a plain model, over random histories.

Each step changes who is a member and under which key, plans, and sends with random answers. The
models see only what they see in earnest: the keys of today, sealed plans and ledger lines. Beside
them a few lines of Python keep what is confirmed and in doubt, and what the destination holds.
"""

import random
from dataclasses import dataclass, field

import duckdb
import pytest

from compiled import CompiledModels

Key = tuple[str, str]

GIVEN = (
    "stg_relay__syncs",
    "stg_relay__settings",
    "stg_amplitude__cohort_snapshots",
    "stg_amplitude__cohorts",
    "identity__persons",
    "identity__person_ids",
    "identity__keys",
)


@dataclass
class Sync:
    """A sync as the rules see it: what is confirmed, in doubt, parked, and what is truly there."""

    name: str
    destination: str
    on_unknown: str
    confirmed: set[Key] = field(default_factory=set)
    doubtful: set[Key] = field(default_factory=set)
    parked: dict[Key, str] = field(default_factory=dict)
    held_there: set[Key] = field(default_factory=set)
    anchors: dict[Key, set[str]] = field(default_factory=dict)


@dataclass
class World:
    """Persons by anchor, and for each sync the key of each member (None: not addressable)."""

    owner: dict[str, str]
    members: dict[str, dict[str, Key | None]]

    def desired(self, sync: str) -> dict[Key, set[str]]:
        """Keys of the addressable members, each with the persons behind it."""
        wanted: dict[Key, set[str]] = {}
        for person, key in self.members[sync].items():
            if key is not None:
                wanted.setdefault(key, set()).add(person)
        return wanted


def _warehouse() -> duckdb.DuckDBPyConnection:
    from importlib import resources

    connection = duckdb.connect()
    connection.execute(resources.files("relay").joinpath("raw.sql").read_text(encoding="utf-8"))
    connection.execute("insert into raw.ledger_generation values (1)")
    for schema in ("staging", "identity", "ledger", "cohorts"):
        connection.execute(f"create schema if not exists {schema}")
    connection.execute(
        "create table staging.stg_relay__settings as select"
        " timestamp '2026-03-01' as planned_at, false as retries_rejected,"
        " cast(null as varchar) as undoes, true as clevertap_reassert,"
        " true as moengage_reassert, true as lytics_reassert"
    )
    connection.execute(
        "create table staging.stg_amplitude__cohorts as select '7' as cohort_id,"
        " false as is_archived, cast(null as timestamp) as vanished_at"
    )
    connection.execute(
        "create table staging.stg_amplitude__cohort_snapshots as select '7@1' as snapshot_id,"
        " '7' as cohort_id, 'Cart' as cohort_name, timestamp '2026-03-01' as last_computed_at,"
        " true as is_newest"
    )
    return connection


def _give(connection: duckdb.DuckDBPyConnection, syncs: list[Sync], world: World) -> None:
    """Lay out what identity says today."""
    connection.execute(
        "create or replace table staging.stg_relay__syncs (sync_name varchar, kind varchar,"
        " destination varchar, cohort_id varchar, delivery varchar, is_enabled boolean,"
        " segment_name varchar, on_unknown varchar, max_removed_percent double,"
        " max_added_percent double, min_members bigint)"
    )
    for sync in syncs:
        connection.execute(
            "insert into staging.stg_relay__syncs values (?, 'cohort_sync', ?, '7', 'events',"
            " true, null, ?, 30, 300, 50)",
            [sync.name, sync.destination, sync.on_unknown],
        )
    connection.execute(
        "create or replace table identity.persons"
        " (person_id varchar, anchor varchar, is_suppressed boolean)"
    )
    connection.execute(
        "create or replace table identity.person_ids (person_id varchar, identifier varchar)"
    )
    connection.execute(
        "create or replace table identity.keys (sync_name varchar, destination varchar,"
        " cohort_id varchar, person_id varchar, status varchar, key_type varchar,"
        " key_value varchar, match_key varchar)"
    )
    persons = sorted(set(world.owner.values()))
    anchors = sorted(world.owner.items())
    # The anchor of a person is the smallest of those it holds.
    first = {person: min(a for a, p in anchors if p == person) for person in persons}
    connection.executemany("insert into identity.persons values (?, ?, false)", list(first.items()))
    connection.executemany(
        "insert into identity.person_ids values (?, ?)", [(p, a) for a, p in anchors]
    )
    rows = [
        (
            sync.name,
            sync.destination,
            "7",
            person,
            "no_key" if key is None else "ok",
            None if key is None else key[0],
            None if key is None else key[1].upper(),
            None if key is None else key[1],
        )
        for sync in syncs
        for person, key in world.members[sync.name].items()
    ]
    if rows:
        connection.executemany("insert into identity.keys values (?, ?, ?, ?, ?, ?, ?, ?)", rows)


def _expected(sync: Sync, world: World) -> dict[str, set[Key]]:
    """ID-22's arithmetic, and ID-23's re-assertion."""
    desired = set(world.desired(sync.name))
    sure = sync.confirmed - sync.doubtful
    if sync.on_unknown == "resend":
        removed = (sync.confirmed | sync.doubtful) - desired
        added = desired - sure
    else:
        removed = sure - desired
        added = desired - sync.confirmed - sync.doubtful
    reasserted = set()
    for key in removed:
        for anchor in sync.anchors[key]:
            person = world.owner.get(anchor)
            now = world.members[sync.name].get(person) if person else None
            if now is not None and now in sure and now in desired:
                reasserted.add(now)
    return {"removed": removed, "added": added, "reasserted": reasserted}


def _move(rng: random.Random, syncs: list[Sync], world: World) -> None:
    """People enter and leave, get other keys, merge and come apart."""
    anchors = sorted(world.owner)
    for anchor in anchors:
        if rng.random() < 0.15:
            world.owner[anchor] = (
                f"p_{rng.choice(anchors)}" if rng.random() < 0.5 else f"p_{anchor}"
            )
    persons = sorted(set(world.owner.values()))
    for sync in syncs:
        members = world.members[sync.name]
        for person in list(members):
            if person not in persons or rng.random() < 0.2:
                del members[person]
        for person in persons:
            if rng.random() < 0.35:
                number = rng.choice([person, rng.choice(persons)]) if rng.random() < 0.2 else person
                kind = rng.choice(["identity", "object_id"])
                members[person] = None if rng.random() < 0.1 else (kind, f"k{number}")


@pytest.mark.parametrize("seed", range(6))
def test_every_plan_is_what_the_rules_say(seed: int, compiled_models: CompiledModels) -> None:
    rng = random.Random(seed)
    connection = _warehouse()
    syncs = [Sync("ct", "clevertap", "hold"), Sync("moe", "moengage", "resend")]
    world = World({f"a{n}": f"p_a{n}" for n in range(9)}, {s.name: {} for s in syncs})
    seq = 0
    seen = {"removed": 0, "added": 0, "reasserted": 0, "frozen": 0}
    for step in range(14):
        _move(rng, syncs, world)
        _give(connection, syncs, world)
        compiled_models.run(connection, ["cohorts__membership_changes"], given=GIVEN)
        for sync in syncs:
            rows = connection.execute(
                "select action, key_type, match_key, phase, payload_hash, anchors, person_ids,"
                " key_value, cohort_name, change_id, is_parked, reason"
                " from cohorts.membership_changes where sync_name = ?"
                " order by phase, key_type, match_key",
                [sync.name],
            ).fetchall()
            found = {
                action: {(r[1], r[2]) for r in rows if r[0] == action}
                for action in ("removed", "added", "reasserted")
            }
            assert found == _expected(sync, world), (seed, step, sync.name)
            assert len({(r[1], r[2]) for r in rows}) == len(rows), "a key stands in two lists"
            for action, keys in found.items():
                seen[action] += len(keys)
            seen["frozen"] += len(sync.doubtful) if sync.on_unknown == "hold" else 0
            sendable = [r for r in rows if not r[10]]
            seq = _send(connection, rng, sync, sendable, f"plan{step:02}", seq)
    assert min(seen["removed"], seen["added"], seen["reasserted"], seen["frozen"]) > 0


def _send(
    connection: duckdb.DuckDBPyConnection,
    rng: random.Random,
    sync: Sync,
    rows: list[tuple],  # type: ignore[type-arg]
    plan: str,
    seq: int,
) -> int:
    """Seal the rows three to a request, send them with random answers, keep the plain model."""
    plan_id = f"{plan}-{sync.name}"
    connection.execute(
        "insert into raw.plans values (?, 'h', 'sync', ?, null, true)",
        [plan_id, f"2026-03-01 00:{int(plan[4:]):02}:00"],
    )
    connection.execute(
        "insert into raw.plan_syncs by name select ? as plan_id, ? as sync_name,"
        " 'cohort_sync' as kind, ? as destination, '7' as cohort_id, 'Cart' as cohort_name,"
        " ? as ledger_seq, 'ready' as state, true as has_rows",
        [plan_id, sync.name, sync.destination, seq],
    )
    requests: list[list[tuple]] = []  # type: ignore[type-arg]
    for phase in (1, 2):
        of_phase = [row for row in rows if row[3] == phase]
        requests += [of_phase[i : i + 3] for i in range(0, len(of_phase), 3)]
    for number, request in enumerate(requests, start=1):
        for position, row in enumerate(request):
            connection.execute(
                "insert into raw.plan_rows values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    *(plan_id, sync.name, row[9], number, position, row[3], row[0], row[11]),
                    *(row[1], row[7], row[2], row[8], row[4], row[6], row[5]),
                ],
            )
    for number, request in enumerate(requests, start=1):
        answer = rng.choice(["ok", "ok", "ok", "partial", "lost", "lost", "never", "busy"])
        if answer == "never":
            continue
        seq += 1
        _line(connection, seq, "sending", plan_id, sync.name, number)
        if answer == "lost":
            stored = rng.random() < 0.5
            for row in request:
                _apply(sync, row, stored=stored, known=False)
            if rng.random() < 0.5:
                seq += 1
                _line(connection, seq, "answered", plan_id, sync.name, number, "unknown")
            continue
        seq += 1
        if answer == "busy":
            _line(connection, seq, "answered", plan_id, sync.name, number, "not_processed")
            continue
        refused = [p for p in range(len(request)) if answer == "partial" and rng.random() < 0.5]
        _line(connection, seq, "answered", plan_id, sync.name, number, "delivered", refused)
        for position, row in enumerate(request):
            if position not in refused:
                _apply(sync, row, stored=True, known=True)
    return seq


def _apply(sync: Sync, row: tuple, *, stored: bool, known: bool) -> None:  # type: ignore[type-arg]
    key = (row[1], row[2])
    adds = row[0] != "removed"
    if stored:
        (sync.held_there.add if adds else sync.held_there.discard)(key)
    sync.anchors[key] = set(row[5])
    if not known:
        sync.doubtful.add(key)
        return
    sync.doubtful.discard(key)
    (sync.confirmed.add if adds else sync.confirmed.discard)(key)
    if not sync.doubtful:
        assert sync.held_there == sync.confirmed, sync.name


def _line(
    connection: duckdb.DuckDBPyConnection,
    seq: int,
    kind: str,
    plan_id: str,
    sync: str,
    request: int,
    outcome: str | None = None,
    refused: list[int] | None = None,
) -> None:
    rejected = [{"position": p, "code": "520", "text": "no"} for p in refused or []]
    connection.execute(
        "insert into raw.ledger_lines values"
        " (?, '2026-03-01', ?, ?, ?, ?, 1, 200, ?, ?, [], null, 'f')",
        [seq, kind, plan_id, sync, request, outcome, rejected],
    )
