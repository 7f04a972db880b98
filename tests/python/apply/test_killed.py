"""kill -9 at every line of the ledger and around every send; then go on, and all is right.

The vendors run in this process and live through it. What counts is what they hold in the end.
"""

import random
import signal
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from apply.world import COUNTED, HELD_BACK, World, emulators
from forks import Forks
from relay.apply.decisions import resolve
from relay.apply.ledger import Ledger
from relay.emulate import Emulators

POINTS = {
    "apply.send.before",
    "apply.send.after",
    "apply.list.address",
    "apply.list.uploaded",
    "ledger.sending.before",
    "ledger.sending.after",
    "ledger.answered.before",
    "ledger.answered.after",
    "ledger.head.before",
    "ledger.head.after",
}
MOST_KILLS = 12


def run(world: World, forks: Forks, **options: object) -> int:
    home = world.settings.home.root
    return forks.apply(home, world.plan.plan_id, world.environ, **options)


def reached(folder: Path, vendors: Emulators, forks: Forks) -> Counter[str]:
    """How often each point is reached by a run in which all goes well."""
    world = World(folder / "calm", vendors, tag="-calm-")
    log = folder / "points"
    assert run(world, forks, fault_log=log) == 0
    world.assert_everything_arrived_once()
    return Counter(log.read_text().split())


def go_on(world: World, forks: Forks) -> None:
    """After a kill: the ledger tells the truth, the next run finishes, nothing is doubled."""
    world.assert_the_ledger_tells_the_truth()
    assert run(world, forks) in (0, 4)
    world.assert_the_ledger_tells_the_truth()
    outcomes = {kind: world.outcomes(kind) for kind in world.syncs}
    for kind, found in outcomes.items():
        left = set(found.values()) - {"delivered"}
        assert left <= ({"unknown"} if kind in HELD_BACK else set()), (kind, left)
    doubled = settle(world)
    assert run(world, forks) == 0
    world.assert_segments_are_right()
    for kind in COUNTED:
        expected = Counter(dict.fromkeys(world.keys(kind), 1))
        assert world.copies(kind) == expected + Counter(doubled & world.keys(kind))


def settle(world: World) -> set[str]:
    """Decide on what is in doubt as a person would who has asked the vendor.

    All of a sync there: delivered. Else it is sent again; what was there is then there twice, and
    these keys are given back.
    """
    doubled: set[str] = set()
    for kind in HELD_BACK:
        unknown = {key for key, outcome in world.outcomes(kind).items() if outcome == "unknown"}
        stored = unknown & set(world.copies(kind))
        if stored != unknown:
            doubled |= stored
        with Ledger.open(world.settings.home) as ledger:
            resolve(
                ledger,
                world.plan,
                "delivered" if stored == unknown else "resend",
                at=world.settings.now(),
                syncs=[world.syncs[kind].name],
            )
    return doubled


def kill_at(
    folder: Path, points: Iterable[tuple[str, int]], vendors: Emulators, forks: Forks
) -> int:
    """Kill a run at each of the points, in a world each, and go on. Gives the kills."""
    kills = 0
    for point, number in points:
        world = World(folder / f"{point}-{number}", vendors, tag=f"-{point}-{number}-")
        try:
            ended = run(world, forks, fault_at=f"{point}:{number}")
            # Threads race: the last arrivals of a point may be fewer in this run.
            assert ended in (-signal.SIGKILL, 0)
            kills += ended == -signal.SIGKILL
            go_on(world, forks)
        except AssertionError as error:
            raise AssertionError(f"killed at {point}:{number}") from error
    return kills


def test_killed_at_any_point_it_goes_on_and_nothing_is_doubled(tmp_path: Path) -> None:
    with emulators() as vendors, Forks() as forks:
        counts = reached(tmp_path, vendors, forks)
        assert set(counts) == POINTS
        dice = random.Random(8)
        points = [(point, dice.randint(1, counts[point])) for point in sorted(counts)]
        kills = kill_at(tmp_path, points, vendors, forks)
    print(f"killed at {kills} of {len(points)} points: the vendors hold the truth")
    assert kills >= len(points) - 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_and_the_next_run_goes_on(
    tmp_path: Path, number: signal.Signals
) -> None:
    with emulators() as vendors, Forks() as forks:
        world = World(tmp_path, vendors)
        for vendor in vendors.vendors:
            vendor.latency_seconds = 0.2
        assert run(world, forks, stop_after=0.6, stop_by=number) == 130
        left = [outcome for kind in world.syncs for outcome in world.outcomes(kind).values()]
        # What was in flight was answered: nothing is in doubt.
        assert set(left) <= {"delivered", "pending"}
        world.assert_the_ledger_tells_the_truth()
        assert run(world, forks) == 0
        world.assert_everything_arrived_once()


@pytest.mark.proof
@pytest.mark.timeout(3600)
def test_killed_at_every_arrival_at_every_point(tmp_path: Path) -> None:
    with emulators() as vendors, Forks() as forks:
        counts = reached(tmp_path, vendors, forks)
        points = [(point, n) for point in sorted(counts) for n in range(1, counts[point] + 1)]
        kills = kill_at(tmp_path, points, vendors, forks)
    print(f"killed at {kills} of {len(points)} arrivals: the vendors hold the truth")
    assert kills >= 0.9 * len(points)


@pytest.mark.proof
@pytest.mark.timeout(3600)
def test_killed_again_and_again_at_random_moments(tmp_path: Path) -> None:
    """Each world is killed until a run gets through."""
    kills = 0
    dice = random.Random(9)
    with emulators() as vendors, Forks() as forks:
        for vendor in vendors.vendors:
            vendor.latency_seconds = 0.02
        for number in range(40):
            world = World(tmp_path / str(number), vendors, tag=f"-{number}-")
            for _ in range(MOST_KILLS):
                if run(world, forks, stop_after=dice.uniform(0.05, 0.6)) != -signal.SIGKILL:
                    break
                kills += 1
                world.assert_the_ledger_tells_the_truth()
            go_on(world, forks)
    print(f"killed {kills} times at random moments in 40 worlds: the vendors hold the truth")
