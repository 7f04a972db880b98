"""Identity over random worlds: the models against plain Python, and builds against builds.

A world that fails is named by its seed: `pytest -k 'seed17'` runs it again.
"""

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from identity_builds import IdentityBuilds
from identity_reference import Identifier, Reference, Row, Rules
from identity_world import World, at, uuid_of

WORLDS = int(os.environ.get("IDENTITY_WORLDS", "8"))
TABLES = {
    "sightings_to_date": "load_id",
    "contaminated_ids": "",
    "devices": "shared_build",
    "device_links": "",
    "candidates": "",
    "stops": "",
    "identifiers": "build_number",
    "person_ids": "",
    "links": "",
    "suppressed": "",
    "persons": "",
    "properties_to_date": "",
    "keys": "build_number",
}
SUSPECTS = """
select sync_name, key_hash from identity.replaced_keys
union all
select keys.sync_name, keys.key_hash
from identity.keys as keys, identity.scope as scope
where keys.build_number >= scope.build_number
"""
USERS = ["ann", "Bob", "cy", "dee", "null"]
DEVICES = ["d1", "d2", "d3", "null"]
NICKS = ["N1", "n1", "n2", "null"]


def seeds(count: int, first: int = 0) -> list[Any]:
    return [pytest.param(seed, id=f"seed{seed}") for seed in range(first, first + count)]


class RandomWorld:
    """Rows, merges, cohorts and rules, small enough that everything meets everything."""

    def __init__(self, seed: int) -> None:
        choose = random.Random(seed)
        numbers = list(range(1, choose.choice([4, 7, 10])))
        users = USERS[: choose.randint(2, 5)]
        hours = [*range(1, 9), None] if choose.random() < 0.7 else [3]
        self.rows = [
            Row(
                uuid_of(f"{seed} {index}"),
                choose.choice(hours),
                choose.choice([None, *numbers])
                if choose.random() < 0.3
                else choose.choice(numbers),
                choose.choice([None, None, *users]),
                choose.choice([None, *DEVICES]),
                {"Nick": choose.choice(NICKS)} if choose.random() < 0.3 else {},
            )
            for index in range(choose.randint(3, 24))
        ]
        self.merges = [
            (choose.choice([*numbers, 50]), choose.choice([*numbers, 51, 50]), float(hour))
            for hour in range(choose.choice([0, 2, 5]))
        ]
        ends: list[Identifier] = [("amplitude_id", number) for number in numbers]
        ends += [("user_id", user) for user in users if user != "null"]
        ends += [("device_id", "d1")]
        self.links = tuple(
            (choose.choice(ends), choose.choice(ends)) for _ in range(choose.choice([0, 0, 1, 3]))
        )
        self.separations = tuple(
            (choose.choice(ends), choose.choice(ends)) for _ in range(choose.choice([0, 0, 1, 3]))
        )
        self.rules = Rules(
            device_linking=choose.choice(["first_known_user"] * 5 + ["off"]),
            max_user_ids_per_device=choose.choice([1, 2, 5]),
            links=self.links,
            separations=self.separations,
        )
        self.choose = choose

    def reference(self) -> Reference:
        return Reference(self.rows, self.merges, self.rules)

    def set_rules(self, world: World) -> None:
        world.setting("device_linking", self.rules.device_linking)
        world.setting("max_user_ids_per_device", self.rules.max_user_ids_per_device)
        world.connection.execute("delete from raw.identity_overrides")
        for kind, pairs in (("link", self.links), ("separate", self.separations)):
            for left, right in pairs:
                world.override(kind, f"{left[0]}:{left[1]}", f"{right[0]}:{right[1]}")

    def parts(self) -> Iterator[list[tuple[str, Any]]]:
        """All rows and merges in random order, cut into loads."""
        everything: list[tuple[str, Any]] = [("row", row) for row in self.rows]
        everything += [("merge", merge) for merge in self.merges]
        self.choose.shuffle(everything)
        while everything:
            size = self.choose.randint(1, max(1, len(everything)))
            yield everything[:size]
            del everything[:size]


def load(world: World, part: list[tuple[str, Any]]) -> None:
    world.load_id += 1
    for kind, one in part:
        if kind == "row":
            world.event(
                one.hour,
                one.amplitude_id,
                one.user_id,
                one.device_id,
                uuid=one.key,
                properties=one.properties,
            )
        else:
            world.merge(one[0], one[1], one[2])


def add_syncs(world: World, amplitude_ids: list[int], users: list[str]) -> None:
    world.load_id += 1
    rows: list[tuple[int | None, str | None]] = [(number, None) for number in amplitude_ids]
    world.cohort("7", rows + [(None, user) for user in users], 9)
    world.sync("c", "7", "clevertap")
    world.sync("n", "7", "clevertap", ["Nick", "user_id"], ["device_id"])
    world.sync("m", "7", "moengage")
    world.sync("l", "7", "lytics")


def add_snapshot(world: World, choose: random.Random, hour: float) -> None:
    """A snapshot of one of two cohorts: who is in it, and what the file says of them."""
    world.load_id += 1
    everybody = [(number, user) for number in (1, 2, 3, None) for user in (None, *USERS)]
    rows: list[Any] = [
        (number, user, {"Nick": choose.choice(NICKS)} if choose.random() < 0.5 else {})
        for number, user in choose.sample(everybody, choose.randint(0, 6))
    ]
    world.cohort(choose.choice("78"), rows, hour)


def contents(world: World) -> dict[str, list[tuple[Any, ...]]]:
    """Every table that must not depend on how its rows came, without what says when they came."""
    result = {}
    for table, excluded in TABLES.items():
        columns = f"* exclude ({excluded})" if excluded else "*"
        result[table] = world.rows(f"select {columns} from identity.{table} order by all")
    return result


def text_of(identifier: Identifier) -> str:
    return f"{identifier[0]}:default:{identifier[1]}"


@pytest.mark.parametrize("seed", seeds(WORLDS))
def test_models_and_plain_python_agree(
    identity_builds: IdentityBuilds, tmp_path: Path, seed: int
) -> None:
    random_world = RandomWorld(seed)
    world = World(identity_builds, tmp_path)
    random_world.set_rules(world)
    load(world, [("row", row) for row in random_world.rows])
    load(world, [("merge", merge) for merge in random_world.merges])
    numbers = sorted({row.amplitude_id for row in random_world.rows if row.amplitude_id})
    users = sorted({row.user_id for row in random_world.rows if row.user_id})
    add_syncs(world, numbers, users)
    # The cohort's rows are evidence too: one snapshot at nine o'clock.
    rows = random_world.rows
    rows += [Row(f"~cohort {number}", 9, number, None, None) for number in numbers]
    rows += [Row(f"~cohort {user}", 9, None, user, None) for user in users]
    identity_builds.build(world.connection)
    truth = random_world.reference()

    persons = world.rows(
        "select anchor, list(identifier) from identity.persons"
        " join identity.person_ids using (person_id) group by anchor"
    )
    assert {anchor: frozenset(identifiers) for anchor, identifiers in persons} == {
        text_of(anchor): frozenset(map(text_of, identifiers))
        for anchor, identifiers in truth.persons.items()
    }
    assert set(
        world.rows("select anchor, primary_user_id, canonical_amplitude_id from identity.persons")
    ) == {
        (
            text_of(anchor),
            truth.primary[anchor],
            None if truth.canonical(anchor) is None else str(truth.canonical(anchor)),
        )
        for anchor in truth.persons
    }
    assert set(
        world.rows(
            "select link_class, left_id_type || ':default:' || left_id_value,"
            " right_id_type || ':default:' || right_id_value, decision, reason from identity.links"
        )
    ) == {
        (kind, text_of(left), text_of(right), decision, reason)
        for kind, left, right, decision, reason in truth.decisions()
    }
    members = {
        truth.anchor_of[one]
        for row in rows
        if row.key.startswith("~") and (one := truth.identifier_of(cleaned(truth, row)))
    }
    keys = (
        "select anchor, status, detail, key_type, match_key from identity.keys"
        " join identity.persons using (person_id) where sync_name = "
    )
    for sync, expected in (
        ("c", truth.clevertap),
        ("n", lambda one: truth.clevertap(one, ["Nick", "user_id"])),
        ("l", truth.lytics),
    ):
        assert set(world.rows(f"{keys} '{sync}'")) == {
            (text_of(anchor), *expected(anchor)) for anchor in members
        }


def wanted_keys(world: World) -> set[tuple[Any, ...]]:
    """Keys that are to be in a segment, each with its sync."""
    return set(world.rows("select sync_name, key_hash from identity.keys where key_hash > 0"))


def cleaned(truth: Reference, row: Row) -> Row:
    """The row as it is after junk and contaminated ids are taken out."""
    return next(one for one in truth.rows if one.key == row.key)


@pytest.mark.parametrize("seed", seeds(WORLDS, 100))
def test_a_full_refresh_equals_any_sequence_of_builds(
    identity_builds: IdentityBuilds, tmp_path: Path, seed: int
) -> None:
    random_world = RandomWorld(seed)
    world = World(identity_builds, tmp_path)
    random_world.set_rules(world)
    add_syncs(world, [1, 2, 3], ["ann", "null"])
    world.sync("o", "8", "clevertap", ["Nick", "user_id"], ["device_id"])
    identity_builds.build(world.connection)
    stopping = random.Random(seed)
    # Snapshots come in any order.
    hours = stopping.sample([half / 2 for half in range(80) if half != 18], 79)
    for part in random_world.parts():
        load(world, part)
        for _ in range(stopping.choice([0, 1, 1, 2])):
            add_snapshot(world, stopping, hours.pop())
        if stopping.random() < 0.3:
            # A build that is killed at any of its models, and begun again.
            identity_builds.build(
                world.connection, stop_after=stopping.choice(identity_builds.order)
            )
        before = wanted_keys(world)
        identity_builds.build(world.connection)
        # Who compares cohorts with destinations looks at these first.
        assert before ^ wanted_keys(world) <= set(world.rows(SUSPECTS))
    carried = contents(world)
    assert world.rows("select links_is_new from identity.scope") == [(False,)]
    identity_builds.build(world.connection, full_refresh=True)
    anew = contents(world)
    for table, rows in anew.items():
        assert carried[table] == rows, table


@pytest.mark.parametrize("seed", seeds(WORLDS // 2, 200))
def test_the_order_and_the_replay_of_rows_change_nothing(
    identity_builds: IdentityBuilds, tmp_path: Path, seed: int
) -> None:
    random_world = RandomWorld(seed)
    results = []
    for attempt in range(2):
        world = World(identity_builds, tmp_path / str(attempt))
        random_world.set_rules(world)
        for part in random_world.parts():
            load(world, part)
            if attempt:
                load(world, part)
            identity_builds.build(world.connection)
        results.append(contents(world))
    assert results[0] == results[1]


@pytest.mark.parametrize("seed", seeds(WORLDS // 2, 300))
def test_edited_rules_hold_for_the_past_too(
    identity_builds: IdentityBuilds, tmp_path: Path, seed: int
) -> None:
    random_world = RandomWorld(seed)
    world = World(identity_builds, tmp_path)
    add_syncs(world, [1, 2, 3], ["ann"])
    load(world, [("row", row) for row in random_world.rows])
    load(world, [("merge", merge) for merge in random_world.merges])
    identity_builds.build(world.connection)
    random_world.set_rules(world)
    identity_builds.build(world.connection)
    world.junk("any", "exact", "ann")
    world.suppress("user_id", "b.*", "regex")
    identity_builds.build(world.connection)
    world.connection.execute("delete from raw.identity_overrides where line % 2 = 0")
    identity_builds.build(world.connection)
    carried = contents(world)
    identity_builds.build(world.connection, full_refresh=True)
    assert contents(world) == carried


@pytest.mark.parametrize("seed", seeds(WORLDS // 2, 400))
def test_paths_explain_every_pair_of_a_person(
    identity_builds: IdentityBuilds, tmp_path: Path, seed: int
) -> None:
    random_world = RandomWorld(seed)
    world = World(identity_builds, tmp_path)
    random_world.set_rules(world)
    load(world, [("row", row) for row in random_world.rows])
    load(world, [("merge", merge) for merge in random_world.merges])
    identity_builds.build(world.connection)
    person_of = dict(world.rows("select identifier, person_id from identity.person_ids"))
    identifiers = sorted(person_of)
    pairs = [(left, right) for left in identifiers for right in identifiers]
    for left, right in random_world.choose.sample(pairs, min(20, len(pairs))):
        steps = world.rows(
            "select decision, reason, from_id_type || ':' || namespace || ':' || from_id_value,"
            " to_id_type || ':' || namespace || ':' || to_id_value, first_row"
            f" from identity.path('{left}', '{right}') order by step"
        )
        if person_of[left] != person_of[right]:
            assert all(step[0] == "refused" and step[1] for step in steps)
            continue
        here, passed = left, {left}
        for decision, _, start, end, evidence in steps:
            assert (decision, start) == ("followed", here)
            assert end not in passed
            assert evidence
            here = end
            passed.add(end)
        assert here == right


def test_times_of_the_examples_are_utc() -> None:
    assert str(at("9:30")) == "2026-03-01 09:30:00"
