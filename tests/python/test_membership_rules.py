"""DESIGN §3 and identity.md ID-22, ID-23 against a plain model, over random histories.

Each step changes who is a member and under which key, plans, and sends with random answers; between
them a person resolves what was lost. The models see only what they see in earnest: the keys of
today, sealed plans and ledger lines, and take in what is new as a second build does. Beside them a
few lines of Python keep what is confirmed and in doubt, and what the destination holds.
"""

import random
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pytest

from compiled import CompiledModels
from membership_inputs import GIVEN, IDENTIFIER, KEY_HASH, lay_out_cohort

Key = tuple[str, str]

KEYS = f"""
create or replace table identity.keys (
    sync_name varchar, destination varchar, cohort_id varchar, anchor_key varchar,
    person_id varchar, status varchar, key_type varchar, key_value varchar, match_key varchar,
    is_first_of_key boolean, build_number integer, {KEY_HASH}
);
create or replace table identity.scope as select 7 as build_number, false as keys_is_new;
delete from identity.replaced_keys;
"""
STATES = "select * exclude (generation) from ledger.key_states order by all"
SEGMENTS = "select * exclude (generation) from ledger.segments order by all"


@dataclass
class Row:
    """A change that was sent, as far as the rules remember it."""

    key: Key
    adds: bool
    payload_hash: str
    anchors: set[str]


@dataclass
class Lost:
    """Rows of a request without an answer, when they were lost, and whether they arrived."""

    plan_id: str
    request: int
    order: int
    rows: list[Row]
    listed: list[int]
    is_stored: bool


@dataclass
class Sync:
    """A sync as the rules see it: per key the order of its last delivery, doubt and refusal."""

    name: str
    destination: str
    on_unknown: str
    delivered: dict[Key, tuple[int, bool]] = field(default_factory=dict)
    doubts: dict[Key, int] = field(default_factory=dict)
    released: set[tuple[Key, int]] = field(default_factory=set)
    refusals: dict[Key, tuple[int, str]] = field(default_factory=dict)
    anchors: dict[Key, tuple[int, set[str]]] = field(default_factory=dict)
    held_there: set[Key] = field(default_factory=set)
    lost: list[Lost] = field(default_factory=list)

    @property
    def confirmed(self) -> set[Key]:
        """Keys whose last delivered action is no removal."""
        return {key for key, (_, adds) in self.delivered.items() if adds}

    @property
    def doubtful(self) -> set[Key]:
        """Keys about which something went unanswered after the last delivery."""
        return {k for k, order in self.doubts.items() if order > self.delivered.get(k, (0, 0))[0]}

    @property
    def frozen(self) -> set[Key]:
        """Doubtful keys that wait for a person."""
        if self.on_unknown == "resend":
            return set()
        return {key for key in self.doubtful if (key, self.doubts[key]) not in self.released}

    def parks(self, key: Key, payload_hash: str) -> bool:
        """Whether just this was refused, and nothing happened since."""
        order, refused = self.refusals.get(key, (0, ""))
        later = max(self.delivered.get(key, (0, 0))[0], self.doubts.get(key, 0))
        return refused == payload_hash and order > later

    def deliver(self, row: Row, order: int) -> None:
        """A row that was taken, and when."""
        if order >= self.delivered.get(row.key, (0, False))[0]:
            self.delivered[row.key] = (order, row.adds)
        self._remember(row, order)

    def doubt(self, row: Row, order: int) -> None:
        """A row of which nobody knows."""
        self.doubts[row.key] = max(order, self.doubts.get(row.key, 0))
        self._remember(row, order)

    def store(self, row: Row) -> None:
        """What the destination itself does with a row."""
        (self.held_there.add if row.adds else self.held_there.discard)(row.key)

    def _remember(self, row: Row, order: int) -> None:
        if order >= self.anchors.get(row.key, (0, set()))[0]:
            self.anchors[row.key] = (order, row.anchors)


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


def _warehouse(syncs: list[Sync]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    lay_out_cohort(connection, {sync.name: (sync.destination, sync.on_unknown) for sync in syncs})
    connection.execute(KEYS)
    return connection


def _give(
    connection: duckdb.DuckDBPyConnection, syncs: list[Sync], world: World, rng: random.Random
) -> None:
    """Lay out what identity says today, and which keys were others before.

    Now and then it does not say which: the build that replaced them was cut short.
    """
    connection.execute("create or replace temp table keys_before as from identity.keys")
    connection.execute(
        "create or replace table identity.resolved_persons"
        " (person_id varchar, anchor_key varchar, anchor varchar, is_suppressed boolean)"
    )
    connection.execute(f"create or replace table identity.identifiers ({IDENTIFIER})")
    connection.execute(KEYS)
    persons = sorted(set(world.owner.values()))
    anchors = sorted(world.owner.items())
    # The anchor of a person is the smallest of those it holds.
    first = {person: min(a for a, p in anchors if p == person) for person in persons}
    connection.executemany(
        "insert into identity.resolved_persons values ($1, $2, $2, false)", list(first.items())
    )
    connection.executemany(
        "insert into identity.identifiers values (?, ?)", [(first[p], a) for a, p in anchors]
    )
    rows: list[tuple[Any, ...]] = []
    for sync in syncs:
        desired = world.desired(sync.name)
        for person, key in world.members[sync.name].items():
            who = (sync.name, sync.destination, "7", first[person], person)
            if key is None:
                rows.append((*who, "no_key", None, None, None, False))
            else:
                is_first = person == min(desired[key])
                rows.append((*who, "ok", key[0], key[1].upper(), key[1], is_first))
    if rows:
        connection.executemany(f"insert into identity.keys values ({', '.join('?' * 10)}, 7)", rows)
    connection.execute(
        "update identity.keys as keys set build_number = 6 from keys_before as before"
        " where keys.sync_name = before.sync_name and keys.anchor_key = before.anchor_key"
        " and keys.key_hash is not distinct from before.key_hash"
    )
    if rng.random() < 0.7:
        connection.execute(
            "insert into identity.replaced_keys by name"
            " select anchor_key, sync_name, key_type, match_key, key_hash"
            " from keys_before anti join identity.keys using (sync_name, anchor_key, match_key)"
        )


def _expected(sync: Sync, world: World) -> dict[str, set[Key]]:
    """ID-22's arithmetic, and ID-23's re-assertion."""
    desired = set(world.desired(sync.name))
    sure = sync.confirmed - sync.doubtful
    open_keys = sync.doubtful - sync.frozen
    removed = (sure | open_keys) - desired
    added = desired - sure - sync.frozen
    reasserted = set()
    for key in removed:
        for anchor in sync.anchors[key][1]:
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


class Ledger:
    """Writes plans and lines into the raw tables, and keeps the plain model beside them."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, rng: random.Random) -> None:
        self._connection = connection
        self._rng = rng
        self.seq = 0

    def seal(self, sync: Sync, step: int, changes: list[dict[str, Any]]) -> list[list[Row]]:
        """Seal changes three to a request, removals before additions; the requests in order."""
        plan_id = self.plan_id(sync, step)
        self._connection.execute(
            "insert into raw.plans values (?, 'h', 'sync', ?, null, true)",
            [plan_id, f"2026-03-01 00:{step:02}:00"],
        )
        self._connection.execute(
            "insert into raw.plan_syncs by name select ? as plan_id, ? as sync_name,"
            " 'cohort_sync' as kind, ? as destination, '7' as cohort_id, 'Cart' as cohort_name,"
            " ? as ledger_seq, 'ready' as state, true as has_rows",
            [plan_id, sync.name, sync.destination, self.seq],
        )
        requests: list[list[Row]] = []
        for phase in (1, 2):
            of_phase = [change for change in changes if change["phase"] == phase]
            for start in range(0, len(of_phase), 3):
                request = []
                for position, change in enumerate(of_phase[start : start + 3]):
                    place = {"plan_id": plan_id, "request": len(requests) + 1}
                    row = {**change, **place, "position": position, "sync_name": sync.name}
                    columns = ", ".join(f"${name} as {name}" for name in row)
                    self._connection.execute(
                        f"insert into raw.plan_rows by name select {columns}", row
                    )
                    request.append(
                        Row(
                            (change["key_type"], change["match_key"]),
                            change["action"] != "removed",
                            change["payload_hash"],
                            set(change["anchors"]),
                        )
                    )
                requests.append(request)
        return requests

    @staticmethod
    def plan_id(sync: Sync, step: int) -> str:
        """A plan of one sync."""
        return f"plan{step:02}-{sync.name}"

    def send(self, sync: Sync, step: int, requests: list[list[Row]]) -> None:
        """Send the requests of a plan, each with an answer drawn at random."""
        answers = ["ok"] * 3 + ["partial", "lost", "lost", "never", "busy", "halved", "refused"]
        for number, rows in enumerate(requests, start=1):
            answer = self._rng.choice(answers)
            if answer != "never":
                self._line("sending", self.plan_id(sync, step), sync.name, number)
                getattr(self, f"_{answer}")(sync, self.plan_id(sync, step), number, rows)

    def _ok(self, sync: Sync, plan_id: str, number: int, rows: list[Row]) -> None:
        self._line("answered", plan_id, sync.name, number, "delivered")
        for row in rows:
            sync.store(row)
            sync.deliver(row, self.seq)

    def _busy(self, sync: Sync, plan_id: str, number: int, rows: list[Row]) -> None:
        self._line("answered", plan_id, sync.name, number, "not_processed")

    def _refused(self, sync: Sync, plan_id: str, number: int, rows: list[Row]) -> None:
        rejected = [{"position": None, "code": "400", "text": "no"}]
        self._line("answered", plan_id, sync.name, number, "rejected", rejected=rejected)
        for row in rows:
            sync.refusals[row.key] = (self.seq, row.payload_hash)

    def _partial(self, sync: Sync, plan_id: str, number: int, rows: list[Row]) -> None:
        """Some refused, some of unknown outcome, the rest delivered."""
        fates = [self._rng.choice(["refused", "unknown", "delivered"]) for _ in rows]
        refused = [position for position, fate in enumerate(fates) if fate == "refused"]
        unknown = [position for position, fate in enumerate(fates) if fate == "unknown"]
        rejected = [{"position": position, "code": "520", "text": "no"} for position in refused]
        outcome = "delivered" if "delivered" in fates else "unknown" if unknown else "delivered"
        self._line("answered", plan_id, sync.name, number, outcome, rejected, unknown)
        for row, fate in zip(rows, fates, strict=True):
            if fate == "refused":
                sync.refusals[row.key] = (self.seq, row.payload_hash)
            elif fate == "delivered":
                sync.store(row)
                sync.deliver(row, self.seq)
        if unknown:
            self._lose(sync, plan_id, number, [rows[position] for position in unknown], unknown)

    def _halved(self, sync: Sync, plan_id: str, number: int, rows: list[Row]) -> None:
        """Too large: the first row goes alone and arrives, the others are left for later."""
        self._line("answered", plan_id, sync.name, number, "not_processed")
        everything, rest = list(range(len(rows))), list(range(1, len(rows)))
        self._line("sending", plan_id, sync.name, number, unknown=everything, pending=rest)
        self._line("answered", plan_id, sync.name, number, "delivered", [], rest, rest)
        sync.store(rows[0])
        sync.deliver(rows[0], self.seq)

    def _lost(self, sync: Sync, plan_id: str, number: int, rows: list[Row]) -> None:
        if self._rng.random() < 0.5:
            self._line("answered", plan_id, sync.name, number, "unknown")
        self._lose(sync, plan_id, number, rows, [])

    def _lose(
        self, sync: Sync, plan_id: str, number: int, rows: list[Row], listed: list[int]
    ) -> None:
        is_stored = self._rng.random() < 0.5
        for row in rows:
            if is_stored:
                sync.store(row)
            sync.doubt(row, self.seq)
        sync.lost.append(Lost(plan_id, number, self.seq, rows, listed, is_stored))

    def resolve(self, sync: Sync) -> None:
        """A person looks at one lost request and finds out what became of it."""
        if not sync.lost:
            return
        lost = sync.lost.pop(self._rng.randrange(len(sync.lost)))
        decision = "delivered" if lost.is_stored else "resend"
        listed = [] if lost.is_stored else lost.listed
        refused = self._connection.execute(
            "select rejected from raw.ledger_lines where plan_id = ? and request = ?"
            " order by seq desc limit 1",
            [lost.plan_id, lost.request],
        ).fetchall()[0][0]
        self._line(
            "resolved", lost.plan_id, sync.name, lost.request, None, refused, listed, [], decision
        )
        for row in lost.rows:
            if lost.is_stored:
                sync.deliver(row, lost.order)
            else:
                sync.released.add((row.key, lost.order))

    def _line(
        self,
        kind: str,
        plan_id: str,
        sync: str,
        request: int,
        outcome: str | None = None,
        rejected: list[dict[str, Any]] | None = None,
        unknown: list[int] | None = None,
        pending: list[int] | None = None,
        decision: str | None = None,
    ) -> None:
        self.seq += 1
        self._connection.execute(
            "insert into raw.ledger_lines by name select $seq as seq, kind, plan_id, sync_name,"
            " request, outcome, cast(rejected as"
            ' struct("position" bigint, code varchar, "text" varchar)[]) as rejected, unknown,'
            " make_timestamp(1772323200000000 + $seq * 1000000) as at, 'f' as line_file,"
            " json_object('decision', decision, 'pending', pending) as detail"
            " from (select $kind as kind, $plan_id as plan_id, $sync as sync_name,"
            " $request as request, $outcome as outcome, $rejected as rejected,"
            " $unknown as unknown, $pending as pending, $decision as decision)",
            {
                "seq": self.seq,
                "kind": kind,
                "plan_id": plan_id,
                "sync": sync,
                "request": request,
                "outcome": outcome,
                "rejected": rejected or [],
                "unknown": unknown or [],
                "pending": pending or None,
                "decision": decision,
            },
        )


def _changes(connection: duckdb.DuckDBPyConnection, sync: Sync) -> list[dict[str, Any]]:
    """What the models say is owed, and whether it is parked."""
    cursor = connection.execute(
        "select action, key_type, match_key, phase, payload_hash, anchors, person_ids,"
        " key_value, cohort_name, change_id, is_parked, reason"
        " from cohorts.membership_changes where sync_name = ? order by phase, key_type, match_key",
        [sync.name],
    )
    columns = [column[0] for column in cursor.description or []]
    return [dict(zip(columns, values, strict=True)) for values in cursor.fetchall()]


def _history(
    seed: int, models: CompiledModels, steps: int = 14
) -> tuple[duckdb.DuckDBPyConnection, dict[str, int]]:
    """Live through some steps, holding the models to the rules at each; counts of what was seen."""
    rng = random.Random(seed)
    syncs = [Sync("ct", "clevertap", "hold"), Sync("moe", "moengage", "resend")]
    connection = _warehouse(syncs)
    ledger = Ledger(connection, rng)
    world = World({f"u:n:{n}": f"p_u:n:{n}" for n in range(9)}, {s.name: {} for s in syncs})
    seen = dict.fromkeys(["removed", "added", "reasserted", "frozen", "released", "parked"], 0)
    for step in range(steps):
        _move(rng, syncs, world)
        _give(connection, syncs, world, rng)
        models.run(connection, ["cohorts__membership_changes"], given=GIVEN, again=True)
        for sync in syncs:
            changes = _changes(connection, sync)
            found = {
                action: {(c["key_type"], c["match_key"]) for c in changes if c["action"] == action}
                for action in ("removed", "added", "reasserted")
            }
            assert found == _expected(sync, world), (seed, step, sync.name)
            keys = [(change["key_type"], change["match_key"]) for change in changes]
            assert len(set(keys)) == len(keys), "a key stands in two lists"
            for key, change in zip(keys, changes, strict=True):
                assert change["is_parked"] == sync.parks(key, change["payload_hash"])
            for action, its_keys in found.items():
                seen[action] += len(its_keys)
            seen["frozen"] += len(sync.frozen)
            seen["released"] += len(sync.doubtful - sync.frozen)
            sendable = [change for change in changes if not change.pop("is_parked")]
            seen["parked"] += len(changes) - len(sendable)
            ledger.send(sync, step, ledger.seal(sync, step, sendable))
            if rng.random() < 0.5:
                ledger.resolve(sync)
            if not sync.doubtful:
                assert sync.held_there == sync.confirmed, (seed, step, sync.name)
    return connection, seen


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("most_suspects", ["1000", "5"])
def test_every_plan_is_what_the_rules_say(
    seed: int, most_suspects: str, models_built_again: CompiledModels
) -> None:
    models = models_built_again.with_text(
        "cohorts__compared_keys", "greatest(1000", f"greatest({most_suspects}"
    )
    connection, seen = _history(seed, models)
    assert min(seen.values()) > 0, seen
    models_built_again.run(connection, ["ledger__segments"], given=GIVEN, again=True)
    piece_by_piece = [connection.execute(table).fetchall() for table in (STATES, SEGMENTS)]
    models_built_again.run(connection, ["ledger__segments"], given=GIVEN)
    assert [connection.execute(t).fetchall() for t in (STATES, SEGMENTS)] == piece_by_piece


@pytest.mark.parametrize("seed", range(4, 6))
def test_a_ledger_taken_in_by_pieces_gives_what_the_whole_gives(
    seed: int, models_built_again: CompiledModels
) -> None:
    connection, _ = _history(seed, models_built_again, steps=8)
    models_built_again.run(connection, ["ledger__key_states"], given=GIVEN)
    whole = connection.execute(STATES).fetchall()
    lines = connection.execute("select seq, kind from raw.ledger_lines order by seq").fetchall()
    connection.execute("create table all_lines as select * from raw.ledger_lines")
    connection.execute("delete from raw.ledger_lines")
    connection.execute("drop table ledger.key_states")
    # Nobody builds between a request and its answer: the sender holds the lock.
    ends = [
        seq
        for (seq, _), (_, next_kind) in zip(lines, [*lines[1:], (0, "end")], strict=True)
        if next_kind != "answered"
    ]
    rng = random.Random(seed)
    cuts = sorted({*rng.sample(ends, min(12, len(ends))), lines[-1][0]})
    for first, last in zip([0, *cuts[:-1]], cuts, strict=True):
        connection.execute(
            "insert into raw.ledger_lines select * from all_lines where seq > ? and seq <= ?",
            [first, last],
        )
        models_built_again.run(connection, ["ledger__key_states"], given=GIVEN, again=True)
    assert connection.execute(STATES).fetchall() == whole
