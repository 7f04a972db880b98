"""CleverTap's three deliveries: planned, sealed and sent to the emulator."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from compiled import CompiledModels
from destination_world import DestinationWorld, Key
from relay.emulate import ClevertapSwitches, Emulators
from relay.emulate.faults import Fault
from relay.plan.make import PlanOutcome, PlanRequest

LIST = """\
version: 1
guard: {min_members: 50}
cohort_syncs:
  - {name: cart-list, cohort_id: c1, destination: clevertap, delivery: custom_list}
clevertap: {list_email: ops@shop.example}
"""
PROPERTY = """\
version: 1
cohort_syncs:
  - {name: cart-property, cohort_id: c1, destination: clevertap, delivery: profile_property}
"""
ANN: Key = ("identity", 'Ann, "A" ✓')
BOB: Key = ("identity", "9223372036854775807")
CAT: Key = ("object_id", "543C-3455-4555-3SRD")
DAN: Key = ("identity", "dan@shop.example")


@pytest.fixture
def clean() -> Iterator[Emulators]:
    """CleverTap with the profiles of four people."""
    with Emulators(clevertap=ClevertapSwitches(partner_sync_restricted=False)) as started:
        for key_type, value in (ANN, BOB, CAT, DAN):
            started.clevertap.add_profile(**{key_type: value})
        yield started


def counts(outcome: PlanOutcome) -> tuple[int, int]:
    (sync,) = outcome.syncs
    return sync.added, sync.removed


def requests(vendors: Emulators) -> int:
    return int(vendors.clevertap.requests.total())


def test_a_custom_list_is_sent_whole_whenever_something_of_it_moved(
    models_built_again: CompiledModels, tmp_path: Path, clean: Emulators
) -> None:
    world = DestinationWorld(models_built_again, tmp_path, LIST, clean.environ)
    world.members({"cart-list": [ANN, BOB, CAT]})
    first = world.plan()
    assert counts(first) == (3, 0)
    (body,) = world.file(first, "cart-list.requests.ndjson").splitlines()
    assert json.loads(body) == {
        "creator": "Cohort Relay",
        "email": "ops@shop.example",
        "filename": "cart-list.members.csv",
        "name": "Cart Drop off",
        "replace": True,
    }
    assert world.file(first, "cart-list.members.csv") == (
        'Type,Identity\ng,543C-3455-4555-3SRD\ni,9223372036854775807\ni,"Ann, ""A"" ✓"\n'
    )
    assert world.apply(first).syncs[0].delivered == 3
    assert clean.clevertap.list_members("Cart Drop off") == {ANN, BOB, CAT}
    # Nothing moved: no plan and not a single call.
    before = requests(clean)
    assert world.plan().plan is None
    assert requests(clean) == before
    # One came and one left: two changes, and the whole list once more.
    world.members({"cart-list": [ANN, CAT, DAN]})
    second = world.plan()
    assert counts(second) == (1, 1)
    assert second.plan is not None
    rows = pyarrow.parquet.read_table(second.plan.folder / "cart-list.rows.parquet").to_pylist()
    assert [(r["request"], r["position"], r["action"], r["key_value"]) for r in rows] == [
        (1, 0, "removed", BOB[1]),
        (1, 1, "added", DAN[1]),
    ]
    assert [
        line.split(",")[0] for line in world.file(second, "cart-list.members.csv").splitlines()[1:]
    ] == ["g", "i", "i"]
    assert world.apply(second).syncs[0].delivered == 2
    assert clean.clevertap.list_members("Cart Drop off") == {ANN, CAT, DAN}
    assert world.plan().plan is None
    confirmed = world.rows(
        "select key_type, key_value from ledger.confirmed_keys where is_confirmed order by all"
    )
    assert set(confirmed) == {ANN, CAT, DAN}


def test_a_list_that_got_another_name_ends_under_the_old_one(
    models_built_again: CompiledModels, tmp_path: Path, clean: Emulators
) -> None:
    world = DestinationWorld(models_built_again, tmp_path, LIST, clean.environ)
    world.members({"cart-list": [ANN, BOB]})
    world.apply(world.plan())
    world.syncs = LIST.replace("custom_list}", "custom_list, segment_name: Cart ✓}")
    renamed = world.plan()
    calls = [
        json.loads(line) for line in world.file(renamed, "cart-list.requests.ndjson").splitlines()
    ]
    assert [(call["name"], call["filename"]) for call in calls] == [
        ("Cart Drop off", "cart-list.members-2.csv"),
        ("Cart ✓", "cart-list.members.csv"),
    ]
    assert world.apply(renamed).exit_code == 0
    assert clean.clevertap.list_members("Cart Drop off") == set()
    assert clean.clevertap.list_members("Cart ✓") == {ANN, BOB}
    assert world.plan().plan is None


def test_a_list_of_a_few_to_try_and_an_undone_list_hold_what_the_plan_says(
    models_built_again: CompiledModels, tmp_path: Path, clean: Emulators
) -> None:
    world = DestinationWorld(models_built_again, tmp_path, LIST, clean.environ)
    world.members({"cart-list": [ANN, BOB, CAT]})
    tried = world.plan(PlanRequest(first=1))
    world.apply(tried)
    (member,) = clean.clevertap.list_members("Cart Drop off")
    rest = world.plan()
    assert counts(rest) == (2, 0)
    world.apply(rest)
    assert clean.clevertap.list_members("Cart Drop off") == {ANN, BOB, CAT}
    assert rest.plan is not None
    undone = world.plan(undoes=rest.plan.plan_id)
    assert counts(undone) == (0, 2)
    world.apply(undone)
    assert clean.clevertap.list_members("Cart Drop off") == {member}


def test_a_suppressed_member_is_in_no_list_even_while_the_removal_waits(
    models_built_again: CompiledModels, tmp_path: Path, clean: Emulators
) -> None:
    world = DestinationWorld(models_built_again, tmp_path, LIST, clean.environ)
    world.members({"cart-list": [ANN, BOB]})
    world.apply(world.plan())
    world.members({"cart-list": [BOB, CAT]}, suppressed=[ANN])
    # The first few are additions only: the removal of who is suppressed is not among them.
    tried = world.plan(PlanRequest(force=True, first=1))
    assert counts(tried) == (1, 0)
    world.apply(tried)
    assert clean.clevertap.list_members("Cart Drop off") == {BOB, CAT}


def test_a_refused_list_is_not_sent_again_until_it_moves_and_then_whole(
    models_built_again: CompiledModels, tmp_path: Path, clean: Emulators
) -> None:
    world = DestinationWorld(models_built_again, tmp_path, LIST, clean.environ)
    world.members({"cart-list": [ANN, BOB]})
    clean.clevertap.faults.order(Fault("status", "list_completed", status=422))
    result = world.apply(world.plan())
    assert result.syncs[0].rejected == 2
    assert world.plan().plan is None
    world.members({"cart-list": [ANN, BOB, CAT]})
    moved = world.plan()
    assert counts(moved) == (3, 0)
    assert world.apply(moved).syncs[0].delivered == 3
    assert clean.clevertap.list_members("Cart Drop off") == {ANN, BOB, CAT}


def test_a_profiles_list_gets_the_segment_and_loses_it(
    models_built_again: CompiledModels, tmp_path: Path, clean: Emulators
) -> None:
    world = DestinationWorld(models_built_again, tmp_path, PROPERTY, clean.environ)
    world.members({"cart-property": [ANN, CAT]})
    first = world.plan()
    records = json.loads(world.file(first, "cart-property.requests.ndjson"))["d"]
    assert records == [
        {
            "type": "profile",
            "identity": ANN[1],
            "ts": 1772366401,
            "profileData": {"Amplitude Cohorts": {"$add": ["Cart Drop off"]}},
        },
        {
            "type": "profile",
            "objectId": CAT[1],
            "ts": 1772366401,
            "profileData": {"Amplitude Cohorts": {"$add": ["Cart Drop off"]}},
        },
    ]
    world.apply(first)
    assert _cohorts(clean) == {ANN: ["Cart Drop off"], CAT: ["Cart Drop off"]}
    assert world.plan().plan is None
    world.members({"cart-property": [CAT, DAN]})
    world.apply(world.plan())
    assert _cohorts(clean) == {CAT: ["Cart Drop off"], DAN: ["Cart Drop off"]}
    # A list that is set twice is set once.
    assert clean.clevertap.doubled() == []


def _cohorts(vendors: Emulators) -> dict[Key, Any]:
    found = {}
    for key in (ANN, BOB, CAT, DAN):
        profile = vendors.clevertap.memory.find(key)
        value = profile.data.get("Amplitude Cohorts") if profile else None
        if value:
            found[key] = value
    return found
