"""`relay apply`, `undo`, `sync`, `watch`: what sends, or plans what is to be sent."""

from typing import Any

import click

from relay import warehouse
from relay.apply.commands import apply_sealed
from relay.apply.run import ApplyResult
from relay.cli.command import Outcome, relay_command
from relay.cli.plan import next_step, plan_table, plan_text
from relay.cli.signals import stopping_on_signals
from relay.errors import RelayError
from relay.plan.make import PlanRequest, make_undo
from relay.report.tables import table
from relay.settings import Settings, load_settings
from relay.sync import SyncOutcome, sync

APPLY_COLUMNS = ("sync", "planned", "delivered", "rejected", "unknown", "held", "pending", "state")


def applied_table(result: ApplyResult) -> str:
    """A row per sync of the plan: where its rows ended."""
    rows = [
        (
            *(one.name, one.planned, one.delivered, one.rejected, one.unknown),
            *(one.held, one.pending),
            one.state if one.reason is None else f"{one.state}: {one.reason}",
        )
        for one in result.syncs
        if one.planned
    ]
    failures = "".join(f"{failure.name}: {failure.message}\n" for failure in result.failures)
    return table(APPLY_COLUMNS, rows) + failures


def applied_line(result: ApplyResult) -> str:
    """One line on the whole plan."""
    delivered, rejected, unknown, held, pending = (
        sum(getattr(one, name) for one in result.syncs)
        for name in ("delivered", "rejected", "unknown", "held", "pending")
    )
    return (
        f"{result.plan_id}: {delivered} delivered, {rejected} rejected, {unknown} unknown,"
        f" {held} held, {pending} pending"
    )


def synced_line(outcome: SyncOutcome) -> str:
    """One line on a whole run."""
    held = ", ".join(one.name for one in outcome.plan.syncs if one.state == "held")
    line = applied_line(outcome.applied) if outcome.applied else "nothing to send"
    return f"{line}; held: {held}" if held else line


def register(group: click.Group) -> None:
    """Add the commands to the `relay` group."""

    @relay_command(group, "apply")
    @click.argument("plan_id")
    @click.option("--approve", multiple=True, metavar="SYNC", help="Send this held sync too.")
    @click.option("--dry-run", is_flag=True, help="Let the vendors validate, store nothing.")
    def apply_command(
        settings: Settings, plan_id: str, approve: tuple[str, ...], dry_run: bool
    ) -> Outcome:
        """Send a sealed plan. Doing it again goes on where it stopped, and then does nothing.

        \b
        Example:
            relay apply 20260302T120000Z-1f3a9c2e
            relay apply 20260302T120000Z-1f3a9c2e --approve cart-to-clevertap
        """
        with warehouse.lock(settings.home, "relay apply"), stopping_on_signals() as stop:
            result = apply_sealed(settings, plan_id, approve=approve, dry_run=dry_run, stop=stop)
        return Outcome(
            result.document, applied_line(result), applied_table(result), result.exit_code
        )

    @relay_command(group, "undo")
    @click.argument("plan_id")
    def undo_command(settings: Settings, plan_id: str) -> Outcome:
        """Plan the inverse of what a plan delivered; applying it pauses its syncs.

        \b
        Example:
            relay undo 20260302T120000Z-1f3a9c2e
        """
        with warehouse.lock(settings.home, "relay undo"):
            outcome = make_undo(settings, plan_id)
            warehouse.publish(settings.home)
        if outcome.plan is None:
            line = f"nothing of {plan_id} is left to undo"
        else:
            line = next_step(outcome.plan)
        return Outcome(
            outcome.document, line, plan_table(outcome.syncs), 3 if outcome.is_held else 0
        )

    @relay_command(group, "sync")
    @click.argument("syncs", nargs=-1)
    @click.option("--force", is_flag=True, help="Run a one-time sync that has run already.")
    def sync_command(settings: Settings, **options: Any) -> Outcome:
        """Load, plan and apply what is due; what the guard holds is left held.

        \b
        Example:
            relay sync
            relay sync cart-to-clevertap
        """
        with stopping_on_signals() as stop:
            outcome = sync(settings, PlanRequest(**options), stop)
        text = plan_text(outcome.plan)
        if outcome.applied is not None:
            text += applied_table(outcome.applied)
        return Outcome(outcome.document, synced_line(outcome), text, outcome.exit_code)

    @relay_command(group, "watch")
    @click.option("--every", default=60, show_default=True, help="Seconds between two runs.")
    def watch_command(settings: Settings, every: int) -> Outcome:
        """Run `sync` every minute until a signal stops it, cleanly.

        Settings and syncs.yml are read anew each time. A run that fails is told and tried again at
        the next minute; another process at work is waited for.

        \b
        Example:
            relay watch
        """
        runs = failures = 0
        with stopping_on_signals() as stop:
            while not stop.is_set():
                runs += 1
                try:
                    outcome = sync(load_settings(settings.home.root), PlanRequest(), stop)
                    click.echo(synced_line(outcome), err=True)
                except RelayError as error:
                    failures += 1
                    click.echo(f"error: {error}", err=True)
                stop.wait(every)
        document = {"runs": runs, "failures": failures}
        return Outcome(document, f"stopped after {runs} runs, {failures} failed", exit_code=130)
