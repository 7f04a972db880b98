"""The whole of `make run`, by step: what a newcomer waits for."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

import relay.rehearsal.run as main_job
import relay.sync
from bench.case import Case, Figure, expect
from bench.measuring import Cost, timed
from relay.emulate import ClevertapSwitches, Clock, Emulators
from relay.rehearsal.world import World

# Where each step is called: module, name, and what it is.
_STEPS: tuple[tuple[Any, str, str], ...] = (
    (main_job, "stage_amplitude", "emulators: three days of a shop"),
    (main_job, "_load_files", "load: merges, engagement, directories"),
    (relay.sync, "load", "load: events and cohorts"),
    (main_job, "load", "load: events and cohorts"),
    (relay.sync, "make_plan", "plan: build and seal"),
    (main_job, "make_plan", "plan: build and seal"),
    (main_job, "make_undo", "undo: build and seal"),
    (relay.sync, "apply_sealed", "apply: send, and build the ledger"),
    (main_job, "apply_sealed", "apply: the approved and the undone"),
)


def prepare(folder: Path, size: int) -> None:
    """Nothing: the rehearsal makes its own world."""


def measure(folder: Path, size: int, rounds: int) -> list[Figure]:
    """Run it once, each step timed where it is called."""
    costs: dict[str, Cost] = defaultdict(Cost)
    for module, name, step in _STEPS:
        setattr(module, name, _watched(getattr(module, name), costs[step]))
    with timed() as whole:
        with timed() as making:
            world = World()
        clock = Clock(world.at(1).now, frozen=True)
        switches = ClevertapSwitches(partner_sync_restricted=False)
        with (
            Emulators(clock=clock, clevertap=switches) as emulators,
            (folder / "console.txt").open("w", encoding="utf-8") as told,
        ):
            result = main_job.rehearse(
                folder / "home", world, emulators=emulators, console=Console(file=told)
            )
    expect("the bad export was held", result.held.is_held, True)
    people = len(world.script.people)
    costs["the shop itself"] = making
    return [
        Figure(f"make run: {step}", people, cost.wall, cost.cpu, cost.wall, unit="s")
        for step, cost in (*costs.items(), ("whole", whole))
    ]


def _watched(call: Callable[..., Any], cost: Cost) -> Callable[..., Any]:
    def watched(*arguments: Any, **named: Any) -> Any:
        with timed() as once:
            result = call(*arguments, **named)
        cost.cpu += once.cpu
        cost.wall += once.wall
        return result

    return watched


CASE = Case(
    name="rehearsal",
    what="the whole of `make run`, by step",
    sizes=(1,),
    prepare=prepare,
    measure=measure,
    rounds=1,
)
