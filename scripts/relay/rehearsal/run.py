"""The main job, from one command: `make run`.

With vendor keys set it is `relay sync`. Without any it is a rehearsal: the emulators on loopback, a
made-up shop in them, and the same commands that run in earnest. Two days pass, so that the first
sync is whole and the second only the difference; on the third a bad export comes in, is held,
approved by its plan's id, and taken back.
"""

import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from relay import warehouse
from relay.apply.commands import apply_sealed
from relay.cli.apply import applied_table
from relay.cli.plan import plan_table
from relay.emulate.clevertap.switches import ClevertapSwitches
from relay.emulate.clock import Clock
from relay.emulate.house import Emulators
from relay.errors import RelayError
from relay.load.amplitude_merges import load_merge_files
from relay.plan.make import PlanOutcome, PlanRequest, make_plan, make_undo
from relay.rehearsal.home import begin
from relay.rehearsal.world import Moment, World
from relay.settings import Environment, Settings, load_settings
from relay.sync import SyncOutcome, sync

# Without these there is no vendor to talk to.
_KEYS = (
    "amplitude_api_key",
    "clevertap_passcode",
    "moengage_api_key",
    "lytics_api_token",
)
LOYAL_SYNC = "loyal-to-clevertap"


@dataclass(frozen=True)
class Rehearsal:
    """What happened, for the tests that compare it with the world's truth."""

    first: SyncOutcome
    second: SyncOutcome
    held: PlanOutcome
    undone: PlanOutcome


def has_keys(environment: Environment) -> bool:
    """Whether any vendor's key is set."""
    return any(getattr(environment, name) is not None for name in _KEYS)


def rehearse(
    home: Path, world: World, *, emulators: Emulators, console: Console
) -> Rehearsal:
    """Run the main job three times against the emulators, a day apart.

    Args:
        home: RELAY_HOME of the rehearsal; what an earlier rehearsal left there is cleared.
        world: The made-up shop.
        emulators: Started; their clock is set to each day in turn.
        console: Where to tell what happens.

    Raises:
        ConfigurationError: The home holds real plans or a real ledger.
        RelayError: Something failed that must not.
    """
    begin(load_settings(home, environ={}).home, {"people": len(world.script.people)})
    first = _sync_at(home, world.at(1), None, emulators, console, "Day 1: the first sync is whole")
    second = _sync_at(
        home, world.at(2), world.at(1), emulators, console, "Day 2: the second is the difference"
    )
    console.print("\n[bold]Day 3: a bad export would empty a segment[/bold]")
    settings = _arrive(home, world.at(3), world.at(2), emulators)
    with warehouse.lock(settings.home, "relay rehearse"):
        third = sync(settings, PlanRequest(), threading.Event())
        console.print(plan_table(third.plan.syncs), end="")
        held = third.plan
        plan_id = held.held_in.get(LOYAL_SYNC) or (held.plan.plan_id if held.plan else "")
        console.print(f"Approved all the same: relay apply {plan_id} --approve {LOYAL_SYNC}")
        approved = apply_sealed(settings, plan_id, approve=(LOYAL_SYNC,))
        console.print(applied_table(approved), end="")
        console.print(f"And taken back: relay undo {plan_id}, then apply")
        undone = make_undo(settings, plan_id)
        if undone.plan is not None:
            names = tuple(one.name for one in undone.syncs)
            taken_back = apply_sealed(settings, undone.plan.plan_id, approve=names)
            console.print(applied_table(taken_back), end="")
    return Rehearsal(first, second, held, undone)


def _sync_at(
    home: Path,
    moment: Moment,
    before: Moment | None,
    emulators: Emulators,
    console: Console,
    title: str,
) -> SyncOutcome:
    console.print(f"\n[bold]{title}[/bold]")
    settings = _arrive(home, moment, before, emulators)
    with warehouse.lock(settings.home, "relay rehearse"):
        outcome = sync(settings, PlanRequest(), threading.Event())
    for load in outcome.loads:
        console.print(f"loaded {load.line}")
    console.print(plan_table(outcome.plan.syncs), end="")
    if outcome.applied is not None:
        console.print(applied_table(outcome.applied), end="")
    return outcome


def _arrive(
    home: Path, moment: Moment, before: Moment | None, emulators: Emulators
) -> Settings:
    """Let the day come: new events, cohorts computed anew, merged ids in the bucket."""
    emulators.clock.set(moment.now)
    since = None if before is None else before.now.replace(minute=0, second=0, microsecond=0)
    for hour in moment.hours(since):
        emulators.amplitude.add_events(emulators.project, {f"{hour.hour:%Y%m%dT%H}": hour.lines})
    for cohort in moment.cohorts():
        listing = cohort.listing
        emulators.amplitude.set_cohort(
            cohort.cohort_id,
            cohort.name,
            last_computed=cohort.computed_at,
            members=cohort.rows,
            archived=listing["archived"],
            description=listing["description"],
        )
    environ = {**emulators.environ, "RELAY_NOW": moment.now.isoformat()}
    settings = load_settings(home, environ=environ)
    _load_merges(settings, moment, since_moment=before)
    return settings


def _load_merges(settings: Settings, moment: Moment, *, since_moment: Moment | None) -> None:
    """Bring the bucket's merged-id files in, as `relay load merges --path` does."""
    since = None if since_moment is None else since_moment.now
    with TemporaryDirectory() as folder:
        paths = []
        for name, content in moment.merge_files(since):
            path = Path(folder) / name
            path.write_bytes(content)
            paths.append(path)
        if not paths:
            return
        with (
            warehouse.lock(settings.home, "relay rehearse"),
            warehouse.connect(settings) as connection,
        ):
            load_merge_files(connection, settings, paths)


def main(arguments: Sequence[str]) -> int:
    """`make run`: the main job with keys, a rehearsal without."""
    console = Console(soft_wrap=True, highlight=False)
    try:
        settings = load_settings()
        if has_keys(settings.env):
            from relay.cli.main import relay

            relay(["sync", *arguments], prog_name="relay")
        world = World()
        clock = Clock(world.at(1).now, frozen=True)
        switches = ClevertapSwitches(partner_sync_restricted=False)
        console.print("No vendor keys are set: a rehearsal against emulators on this machine.")
        with Emulators(clock=clock, clevertap=switches) as emulators:
            rehearse(settings.home.root, world, emulators=emulators, console=console)
    except RelayError as error:
        console.print(f"error: {error}", style="red")
        return error.exit_code
    home = settings.home
    console.print("\nOpen next:")
    console.print(f"  {home.outbox}/<plan_id>/   the sealed request bodies, as they were sent")
    console.print(f"  {home.ledger}/             every attempt and answer")
    console.print(f"  {home.analytics}   DuckDB: reports.deliveries, identity.persons, …")
    console.print("  relay status, relay members, relay explain")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
