"""Sealed plans against the emulated vendors, with everything that can go wrong going wrong."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from apply.world import COUNTED, HELD_BACK, World, emulators
from relay.apply import http
from relay.apply.decisions import resolve
from relay.apply.ledger import Ledger
from relay.apply.result import ApplyResult
from relay.apply.run import apply_plan
from relay.emulate import Fault
from relay.http import Timeouts

pytestmark = pytest.mark.usefixtures("quick", "impatient")

# Route of each vendor that a plan uses, with the status codes its uploader has to know.
ROUTES = {
    "clevertap": ["upload", "list_url", "list_completed"],
    "moengage": ["cohort_sync"],
    "lytics": ["json"],
    "amplitude": ["batch", "identify"],
    "files": ["put"],
}
STATUSES = {
    "clevertap": [400, 413, 429, 500, 503],
    "moengage": [400, 413, 429, 500],
    "lytics": [400, 413, 429, 500, 502],
    "amplitude": [413, 429, 500, 502, 503],
    "files": [403, 500, 503],
}
# Statuses that a vendor gives only where it has stored nothing; other 5xx may come after storing.
STORES_NOTHING = {400, 403, 413, 429}
NOT_STORED = {"amplitude": STORES_NOTHING | {503}}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second to answer in."""
    monkeypatch.setattr(http, "TIMEOUTS", Timeouts(connect=5.0, read=0.4, write=5.0))
    monkeypatch.setattr(http, "FILE_TIMEOUTS", Timeouts(connect=5.0, read=0.4, write=5.0))


def order(world: World, vendor: str, fault: Fault) -> None:
    getattr(world.vendors, vendor).faults.order(fault)


def run(world: World, **options: Any) -> ApplyResult:
    result = apply_plan(world.settings, world.plan, **options)
    for sync in result.syncs:
        outcomes = (sync.delivered, sync.rejected, sync.unknown, sync.held, sync.pending)
        assert sum(outcomes) == sync.planned, sync
    pending = any(sync.pending for sync in result.syncs)
    in_part = any(sync.rejected or sync.unknown for sync in result.syncs)
    if not result.failures:
        assert not pending
        assert result.exit_code == (4 if in_part else 0)
    else:
        assert result.exit_code in (1, 2)
    world.assert_the_ledger_tells_the_truth()
    return result


def finish(world: World) -> None:
    """Let everything go well, go on, and have what waits for a person sent again."""
    for vendor in world.vendors.vendors:
        vendor.faults.clear()
    result = run(world)
    assert result.exit_code in (0, 4), result.failures
    held_back = {world.syncs[kind].name for kind in HELD_BACK if kind in world.syncs}
    assert {sync.name for sync in result.syncs if sync.unknown} <= held_back
    counted = [kind for kind in COUNTED if kind in world.syncs]
    stored = {kind: world.copies(kind) for kind in counted}
    waiting = {
        kind: {key for key, outcome in world.outcomes(kind).items() if outcome == "unknown"}
        for kind in counted
    }
    with Ledger.open(world.settings.home) as ledger:
        resolved = resolve(ledger, world.plan, "resend", at=world.settings.now())
    assert sum(resolved.values()) == sum(map(len, waiting.values()))
    result = apply_plan(world.settings, world.plan)
    assert not any(sync.unknown or sync.pending for sync in result.syncs)
    for kind in counted:
        copies = world.copies(kind)
        # Twice stands only what was unknown, was stored, and was sent again on a person's word.
        doubled = {key for key, number in copies.items() if number > 1}
        assert doubled == {key for key in waiting[kind] if stored[kind][key]}
        for key, outcome in world.outcomes(kind).items():
            assert (outcome == "delivered") == (copies[key] > 0), (key, outcome)
    if not any(sync.rejected for sync in result.syncs):
        world.assert_segments_are_right()


def test_a_plan_arrives_at_every_destination_once(tmp_path: Path) -> None:
    with emulators() as vendors:
        world = World(tmp_path, vendors)
        assert run(world).exit_code == 0
        world.assert_everything_arrived_once()
        requests = {vendor.name: vendor.requests.total() for vendor in vendors.vendors}
        assert run(world).exit_code == 0
        assert requests == {vendor.name: vendor.requests.total() for vendor in vendors.vendors}
        most = vendors.clevertap.state()["most_in_flight"]
        assert most["uploads"] <= 15
        assert not any(exchange.authorization for exchange in vendors.files.log)


def scripts(vendor: str) -> list[Fault]:
    """Every kind of fault at every route of a vendor, at the first request there."""
    found = []
    for route in ROUTES[vendor]:
        for stored in (False, True):
            found.append(Fault("reset", route, stored=stored))
            found.append(Fault("timeout", route, stored=stored, seconds=1.0))
            found.append(Fault("html", route, stored=stored, status=502))
            for status in STATUSES[vendor]:
                if not (stored and status in NOT_STORED.get(vendor, STORES_NOTHING)):
                    found.append(Fault("status", route, status=status, stored=stored))
        found.append(Fault("cut", route))
        found.append(Fault("truncated", route))
        found.append(Fault("corrupted", route))
        found.append(Fault("slow", route, seconds=0.05))
    positions = {"clevertap": ("upload", (0, 2)), "amplitude": ("batch", (1, 3))}
    if vendor in positions:
        route, refused = positions[vendor]
        found.append(Fault("partial", route, positions=refused))
    if vendor == "lytics":
        found.append(Fault("partial", "json", positions=(1,)))
        found.append(Fault("partial", "json", nth=2, positions=(1,)))
    return found


def rounds() -> list[dict[str, Fault]]:
    """The scripts, one of each vendor at a time: they do not meet."""
    columns = [[(vendor, fault) for fault in scripts(vendor)] for vendor in ROUTES]
    rows = zip_longest(*columns)
    return [dict(entry for entry in row if entry is not None) for row in rows]


def go_through(folder: Path, some: Sequence[dict[str, Fault]]) -> int:
    """Each round in a world of its own; afterwards everything is finished. Gives the scripts."""
    with emulators() as vendors:
        for number, faults in enumerate(some):
            world = World(folder / str(number), vendors, tag=f"-{number}-")
            for vendor, fault in faults.items():
                order(world, vendor, fault)
            try:
                run(world)
                finish(world)
            except AssertionError as error:
                raise AssertionError(f"{faults}") from error
    return sum(map(len, some))


def test_no_fault_leaves_a_row_without_its_outcome(tmp_path: Path) -> None:
    print(f"{go_through(tmp_path, rounds()[::7])} fault scripts: every row has its outcome")


@pytest.mark.proof
@pytest.mark.timeout(3600)
def test_none_of_all_faults_leaves_a_row_without_its_outcome(tmp_path: Path) -> None:
    print(f"{go_through(tmp_path, rounds())} fault scripts: every row has its outcome")


def storm(seed: int) -> dict[str, list[Fault]]:
    """Many faults at every vendor, by the dice of a seed.

    No event is refused that was taken before: a vendor that says of the same bytes now this and
    now that cannot be told from one that forgets.
    """
    dice = random.Random(seed)
    found = {}
    for vendor in ROUTES:
        possible = [
            fault for fault in scripts(vendor) if (vendor, fault.kind) != ("amplitude", "partial")
        ]
        chosen = dice.sample(possible, k=4)
        found[vendor] = [
            replace(
                fault, nth=dice.randint(1, 4), times=dice.randint(1, 3), every=dice.randint(1, 3)
            )
            for fault in chosen
        ]
    return found


def weather(folder: Path, seeds: Iterable[int]) -> int:
    """A storm each, until the third run; then everything is finished. Gives the faults that hit."""
    hits = 0
    with emulators() as vendors:
        for seed in seeds:
            world = World(folder / str(seed), vendors, tag=f"-{seed}-")
            for vendor, faults in storm(seed).items():
                for fault in faults:
                    order(world, vendor, fault)
            try:
                for _ in range(3):
                    run(world)
                for vendor in ROUTES:
                    handle = getattr(vendors, vendor)
                    hits += sum(fault["hits"] for fault in handle.faults.document())
                finish(world)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}: {storm(seed)}") from error
    return hits


def test_no_storm_leaves_a_row_without_its_outcome(tmp_path: Path) -> None:
    print(f"{weather(tmp_path, range(2))} faults in 2 storms: every row has its outcome")


@pytest.mark.proof
@pytest.mark.timeout(3600)
def test_no_storm_of_a_hundred_leaves_a_row_without_its_outcome(tmp_path: Path) -> None:
    seeds = range(100, 200)
    print(f"{weather(tmp_path, seeds)} faults in {len(seeds)} storms: every row has its outcome")
