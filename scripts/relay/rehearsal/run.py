"""The main job, from one command: `make run`.

With vendor keys set it is `relay sync`. Without any it is a rehearsal: the emulators on loopback, a
made-up shop in them, and the same commands that run in earnest. Two days pass, so that the first
sync is whole and the second only the difference; on the third a bad export comes in, is held in its
plan, approved by the plan's id, and taken back.
"""

import csv
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from relay import logs, warehouse
from relay.apply.commands import apply_sealed
from relay.apply.run import ApplyResult
from relay.cli.apply import applied_table
from relay.cli.plan import also_of, plan_table
from relay.emulate.clevertap.switches import ClevertapSwitches
from relay.emulate.clock import Clock
from relay.emulate.house import Emulators
from relay.errors import RelayError
from relay.load.amplitude_merges import load_merge_files
from relay.load.engagement import load_clevertap_files
from relay.load.known_users import load_known_users
from relay.load.result import LoadResult
from relay.plan.dbt import read_project_ahead
from relay.plan.make import PlanOutcome, PlanRequest, make_plan, make_undo
from relay.receive.streams import land_body
from relay.rehearsal.home import begin
from relay.rehearsal.stage import stage_amplitude
from relay.rehearsal.world import Moment, World
from relay.report.tables import table
from relay.settings import Environment, Settings, load_settings
from relay.sync import SyncOutcome, load, sync

# Without these there is no vendor to talk to.
_KEYS = ("amplitude_api_key", "clevertap_passcode", "moengage_api_key", "lytics_api_token")
HELD_SYNC = "loyal-to-clevertap"


DAY_COLUMNS = (
    *("day", "sync", "members", "added", "removed", "re-asserted", "also"),
    *("delivered", "approved", "unaddressable"),
)


@dataclass(frozen=True)
class Rehearsal:
    """What happened, for the tests that compare it with the world's truth."""

    first: SyncOutcome
    second: SyncOutcome
    held: PlanOutcome
    approved: ApplyResult
    undone: PlanOutcome
    taken_back: ApplyResult


def summary(rehearsal: Rehearsal) -> str:
    """The table a rehearsal ends with: a row per day and sync."""
    days = (
        (rehearsal.first.plan, rehearsal.first.applied),
        (rehearsal.second.plan, rehearsal.second.applied),
        (rehearsal.held, rehearsal.approved),
    )
    rows = []
    for day, (plan, applied) in enumerate(days, start=1):
        delivered = {one.name: one.delivered for one in applied.syncs} if applied else {}
        for one in plan.syncs:
            sent = delivered.get(one.name, 0)
            rows.append(
                (
                    *(day, one.name, one.members, one.added, one.removed, one.reasserted),
                    also_of(one),
                    *(sent, sent if one.state == "held" else 0, one.unaddressable),
                )
            )
    return table(DAY_COLUMNS, rows)


def has_keys(environment: Environment) -> bool:
    """Whether any vendor's key is set."""
    return any(getattr(environment, name) is not None for name in _KEYS)


def rehearse(home: Path, world: World, *, emulators: Emulators, console: Console) -> Rehearsal:
    """Run the main job on three days against the emulators.

    Args:
        home: RELAY_HOME of the rehearsal; what an earlier rehearsal left there is cleared.
        world: The made-up shop.
        emulators: Started; their clock is set to each day in turn.
        console: Where to tell what happens.

    Raises:
        ConfigurationError: The home holds real plans or a real ledger.
        RelayError: Something failed that must not.
    """
    settings = load_settings(home, environ={})
    begin(settings.home, {"people": len(world.script.people)})
    read_project_ahead(settings)
    # One lock for all: closing the warehouse at the end of each step would write a checkpoint.
    with warehouse.lock(settings.home, "make run"):
        return _three_days(home, world, emulators, console)


def _three_days(home: Path, world: World, emulators: Emulators, console: Console) -> Rehearsal:
    days = [world.at(step) for step in (1, 2, 3)]
    first = _synced(home, days[0], None, emulators, console, "Day 1: the first sync is whole")
    second = _synced(home, days[1], days[0], emulators, console, "Day 2: only the difference")
    settings = _arrived(home, days[2], days[1], emulators, console, "Day 3: a bad export is held")
    _tell_loads(load(settings, (), threading.Event()), console)
    held = make_plan(settings, PlanRequest())
    console.print(plan_table(held.syncs), end="")
    plan = held.plan
    if plan is None or not held.is_held:
        raise RelayError("the bad export of day 3 was not held: the guard is broken")
    console.print(f"\n[bold]Approved all the same: relay apply --approve {HELD_SYNC}[/bold]")
    approved = apply_sealed(settings, plan.plan_id, approve=(HELD_SYNC,))
    console.print(applied_table(approved), end="")
    console.print(f"\n[bold]And taken back: relay undo {plan.plan_id}[/bold]")
    # Some minutes later: CleverTap goes by the time of an event, to the second.
    settings = _settings(home, days[2], emulators, later=timedelta(minutes=10))
    undone = make_undo(settings, plan.plan_id)
    console.print(plan_table(undone.syncs), end="")
    if undone.plan is None:
        raise RelayError(f"nothing of {plan.plan_id} could be undone")
    names = tuple(one.name for one in undone.syncs)
    taken_back = apply_sealed(settings, undone.plan.plan_id, approve=names)
    console.print(applied_table(taken_back), end="")
    return Rehearsal(first, second, held, approved, undone, taken_back)


def _settings(
    home: Path, moment: Moment, emulators: Emulators, later: timedelta = timedelta(0)
) -> Settings:
    """As `relay` would read them on that day, or so much later."""
    now = (moment.now + later).isoformat()
    return load_settings(home, environ={**emulators.environ, "RELAY_NOW": now})


def _arrived(
    home: Path,
    moment: Moment,
    before: Moment | None,
    emulators: Emulators,
    console: Console,
    title: str,
) -> Settings:
    """Let a day come and bring in what arrives by itself; the settings of that day."""
    console.print(f"\n[bold]{title}[/bold]")
    emulators.clock.set(moment.now)
    stage_amplitude(emulators.amplitude, moment, before.now if before else None)
    settings = _settings(home, moment, emulators)
    _load_files(settings, moment, before, emulators)
    return settings


def _synced(
    home: Path,
    moment: Moment,
    before: Moment | None,
    emulators: Emulators,
    console: Console,
    title: str,
) -> SyncOutcome:
    """A day on which everything goes by itself: `relay sync`."""
    settings = _arrived(home, moment, before, emulators, console, title)
    outcome = sync(settings, PlanRequest(), threading.Event())
    _tell_loads(outcome.loads, console)
    if outcome.applied is not None:
        console.print(applied_table(outcome.applied), end="")
    return outcome


def _tell_loads(loads: Iterable[LoadResult], console: Console) -> None:
    for one in loads:
        console.print(one.line)


def _load_files(
    settings: Settings, moment: Moment, before: Moment | None, emulators: Emulators
) -> None:
    """What comes by itself: merged ids from the bucket, engagement events, MoEngage's directory.

    MoEngage's events come to the webhook, so that `sync` finds their bodies in landing/.
    """
    for body in moment.moengage_bodies():
        land_body(settings.home, BytesIO(body), sha256(body).hexdigest(), moment.now)
    with TemporaryDirectory() as folder, warehouse.connect(settings) as connection:
        place = Path(folder)
        merges = _written(place / "merges", moment.merge_files(before.now if before else None))
        if merges:
            load_merge_files(connection, settings, merges)
        zone = emulators.environ["CLEVERTAP_TIMEZONE"]
        exports = _written(place / "clevertap", moment.clevertap_files(zone))
        load_clevertap_files(connection, settings, exports)
        (directory,) = _written(place, [("users.csv", moment.known_users("moengage"))])
        load_known_users(connection, settings, "moengage", directory)
        rows = directory.read_text(encoding="utf-8").splitlines()
        emulators.moengage.add_users(dict(row) for row in csv.DictReader(rows))


def _written(folder: Path, files: Iterable[tuple[str, bytes]]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = []
    for name, content in files:
        path = folder / name
        path.write_bytes(content)
        paths.append(path)
    return paths


def main(arguments: Sequence[str]) -> int:
    """`make run`: the main job with keys, a rehearsal without."""
    console = Console(soft_wrap=True, highlight=False)
    logs.configure()
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
            done = rehearse(settings.home.root, world, emulators=emulators, console=console)
    except RelayError as error:
        console.print(f"error: {error}", style="red")
        return error.exit_code
    home = settings.home
    console.print("\n[bold]What was sent[/bold]")
    console.print(summary(done), end="")
    console.print("\nOpen next:")
    console.print(f"  {home.outbox}/<plan_id>/    the sealed request bodies, as they were sent")
    console.print(f"  {home.ledger}/              every attempt and every answer")
    console.print(
        f"  {home.analytics}    reports.deliveries, identity.persons, cohorts.memberships"
    )
    console.print("  .venv/bin/relay status, history, members cart-to-clevertap")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
