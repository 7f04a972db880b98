"""`relay build`, `plan`, `show`: from loaded data to a sealed plan, and a look at it."""

from collections.abc import Iterator
from typing import Any

import click

from relay import warehouse
from relay.cli.command import Outcome, relay_command
from relay.plan.build import build
from relay.plan.make import PlanOutcome, PlanRequest, make_plan
from relay.plan.manifest import Plan, PlanSync, read_plan
from relay.plan.show import show_plan
from relay.report.tables import table
from relay.settings import Settings

PLAN_COLUMNS = (
    "sync",
    "destination",
    "members",
    "added",
    "removed",
    "reasserted",
    "also",
    "unchanged",
    "in doubt",
    "unaddressable",
    "suppressed",
    "parked",
    "state",
)


def plan_table(syncs: tuple[PlanSync, ...]) -> str:
    """A row per sync with its counts, and under it the reason where it is not simply ready."""
    rows = [
        (
            sync.name,
            sync.destination,
            sync.members,
            sync.added,
            sync.removed,
            sync.reasserted,
            also_of(sync),
            sync.unchanged,
            sync.in_doubt,
            sync.unaddressable,
            sync.suppressed,
            sync.parked,
            sync.state if sync.reason is None else f"{sync.state}: {sync.reason}",
        )
        for sync in syncs
    ]
    return table(PLAN_COLUMNS, rows)


def plan_text(outcome: PlanOutcome) -> str:
    """The table of the syncs, and under it what it cannot say: who waits, and the budget."""
    notes = [note for sync in outcome.syncs for note in _notes(outcome, sync)]
    if outcome.budget and outcome.budget.advice:
        notes.append(f"budget: {outcome.budget.advice}")
    return plan_table(outcome.syncs) + "".join(f"{note}\n" for note in notes)


def _notes(outcome: PlanOutcome, sync: PlanSync) -> Iterator[str]:
    waiting = outcome.waiting.get(sync.name, 0)
    if waiting and sync.name not in outcome.held_in:
        here = waiting + sync.planned
        yield f"{sync.name}: {waiting} of {here} changes wait for a plan without --first"
    if sync.state == "adopted":
        yield f"{sync.name}: {sync.added} members recorded as confirmed; nothing is to be sent"
    if sync.name in outcome.held_in:
        plan_id = outcome.held_in[sync.name]
        yield f"{sync.name}: held in {plan_id}; next: relay apply {plan_id} --approve {sync.name}"


def next_step(plan: Plan) -> str:
    """What to type after a plan was sealed, the held syncs named; or that nothing is to be sent."""
    sent = [sync for sync in plan.syncs if plan.file(sync.name, "requests")]
    if not sent:
        return f"recorded in {plan.folder}; nothing is to be sent"
    held = [sync.name for sync in sent if sync.state == "held"]
    approvals = "".join(f" --approve {name}" for name in held)
    if len(held) == len(sent):
        return f"sealed {plan.folder}; next: relay apply {plan.plan_id}{approvals}"
    held_too = f", with{approvals} for what is held" if held else ""
    return f"sealed {plan.folder}; next: relay apply {plan.plan_id}{held_too}"


def also_of(sync: PlanSync) -> str:
    """What only some destinations have: further rows of Lytics, what MoEngage will find."""
    further = {
        "refreshed": sync.refreshed,
        "renamed": sync.renamed,
        "stitched": sync.stitched,
        **(sync.forecast or {}),
    }
    return ", ".join(f"{number} {name}" for name, number in further.items() if number)


def register(group: click.Group) -> None:
    """Add the commands to the `relay` group."""

    @relay_command(
        group,
        "build",
        context_settings={"ignore_unknown_options": True},
    )
    @click.argument("dbt_options", nargs=-1, type=click.UNPROCESSED)
    def build_command(settings: Settings, dbt_options: tuple[str, ...]) -> Outcome:
        """Run `dbt build` in this process and publish the analysts' copy.

        \b
        Example:
            relay build
            relay build --select cohorts
        """
        with warehouse.lock(settings.home, "relay build"):
            nodes = build(settings, dbt_options, whole=True)
            published = warehouse.publish(settings.home)
        return Outcome(
            {"nodes": nodes, "published": str(published)},
            f"built {nodes} models, seeds and tests; analysts read {published}",
        )

    @relay_command(group, "plan")
    @click.argument("syncs", nargs=-1)
    @click.option("--force", is_flag=True, help="Run a one-time sync that has run already.")
    @click.option("--first", type=click.IntRange(min=1), help="Try N members of each sync.")
    @click.option("--adopt", multiple=True, metavar="SYNC", help="Record as confirmed, send none.")
    @click.option("--retry-rejected", is_flag=True, help="Try parked rows once more, due or not.")
    def plan_command(settings: Settings, **options: Any) -> Outcome:
        """Build, then seal what is due (or the named syncs) into outbox/<plan_id>/.

        \b
        Example:
            relay plan
            relay plan cart-to-clevertap --first 10
        """
        request = PlanRequest(**options)
        with warehouse.lock(settings.home, "relay plan"):
            outcome = make_plan(settings, request)
            warehouse.publish(settings.home)
        if outcome.plan is not None:
            line = next_step(outcome.plan)
        elif outcome.held_in:
            line = (
                f"nothing new to seal; held in {', '.join(sorted(set(outcome.held_in.values())))}"
            )
        elif any(outcome.waiting.values()):
            line = "nobody to add, which is all that --first does"
        else:
            line = "nothing to send"
        return Outcome(outcome.document, line, plan_text(outcome), 3 if outcome.is_held else 0)

    @relay_command(group, "show")
    @click.argument("plan_id")
    @click.argument("sync", required=False)
    @click.option(
        "--rows",
        type=click.IntRange(min=0),
        default=5,
        show_default=True,
        help="First rows and bodies to print.",
    )
    def show_command(settings: Settings, plan_id: str, sync: str | None, rows: int) -> Outcome:
        """Print what a plan holds: counts, first rows, the exact request bodies.

        \b
        Example:
            relay show 20260302T120000Z-1f3a9c2e cart-to-clevertap
        """
        plan = read_plan(settings.home, plan_id)
        document, text = show_plan(plan, sync, rows)
        return Outcome(document, f"{plan.folder / 'manifest.json'}", text)
