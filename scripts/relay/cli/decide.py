"""`relay confirm`, `resolve`, `pause`, `resume`: what a person decides, kept in the ledger."""

from collections.abc import Callable, Sequence
from typing import Any

import click

from relay import warehouse
from relay.apply.commands import show_ledger
from relay.apply.decisions import Decision, confirm, pause, resolve, resume
from relay.apply.ledger import Ledger
from relay.cli.command import Outcome, relay_command
from relay.errors import ConfigurationError
from relay.plan.manifest import read_plan
from relay.settings import Settings


def register(group: click.Group) -> None:
    """Add the commands to the `relay` group."""

    @relay_command(group, "confirm")
    @click.argument("plan_id")
    @click.argument("syncs", nargs=-1)
    def confirm_command(settings: Settings, plan_id: str, syncs: tuple[str, ...]) -> Outcome:
        """Record that a plan's files were uploaded by hand: of the syncs that are named, or of all.

        What is held is confirmed only by its name.

        \b
        Example:
            relay confirm 20260302T120000Z-1f3a9c2e cart-to-moengage
        """
        plan = read_plan(settings.home, plan_id)
        rows = _decide(
            settings,
            "relay confirm",
            lambda ledger: confirm(ledger, plan, at=settings.now(), syncs=syncs or None),
        )
        left_held = [sync.name for sync in plan.syncs if sync.state == "held"]
        left_held = [name for name in left_held if name not in rows and plan.file(name, "rows")]
        return _counted("confirmed", plan_id, rows, left_held)

    @relay_command(group, "resolve")
    @click.argument("plan_id")
    @click.option(
        "--unknown",
        "decision",
        type=click.Choice(["delivered", "resend"]),
        required=True,
        help="They arrived; or send the same bytes once more.",
    )
    def resolve_command(settings: Settings, plan_id: str, decision: Decision) -> Outcome:
        """Decide what became of rows whose answer was lost.

        \b
        Example:
            relay resolve 20260302T120000Z-1f3a9c2e --unknown delivered
        """
        plan = read_plan(settings.home, plan_id)
        rows = _decide(
            settings,
            "relay resolve",
            lambda ledger: resolve(ledger, plan, decision, at=settings.now()),
        )
        return _counted(f"resolved as {decision}", plan_id, rows)

    @relay_command(group, "pause")
    @click.argument("sync")
    def pause_command(settings: Settings, sync: str) -> Outcome:
        """Stop a sync until `relay resume`.

        \b
        Example:
            relay pause cart-to-clevertap
        """
        _check_sync(settings, sync)
        changed = _decide(
            settings, "relay pause", lambda ledger: pause(ledger, sync, at=settings.now())
        )
        line = f"{sync} is paused" if changed else f"{sync} was paused already"
        return Outcome({"sync": sync, "paused": True}, line)

    @relay_command(group, "resume")
    @click.argument("sync")
    def resume_command(settings: Settings, sync: str) -> Outcome:
        """Let a paused sync go on.

        \b
        Example:
            relay resume cart-to-clevertap
        """
        _check_sync(settings, sync)
        changed = _decide(
            settings, "relay resume", lambda ledger: resume(ledger, sync, at=settings.now())
        )
        line = f"{sync} goes on" if changed else f"{sync} was not paused"
        return Outcome({"sync": sync, "paused": False}, line)


def _decide(settings: Settings, command: str, decide: Callable[[Ledger], Any]) -> Any:
    """Write to the ledger under the lock, then let the tables show it."""
    with warehouse.lock(settings.home, command):
        with Ledger.open(settings.home) as ledger:
            result = decide(ledger)
        show_ledger(settings)
    return result


def _check_sync(settings: Settings, name: str) -> None:
    known = [sync.name for sync in settings.config.syncs]
    if not settings.config.has_sync(name):
        raise ConfigurationError(f"there is no sync {name!r}; known: {', '.join(known) or 'none'}")


def _counted(
    done: str, plan_id: str, rows: dict[str, int], left_held: Sequence[str] = ()
) -> Outcome:
    total = sum(rows.values())
    held = f"; held, and confirmed only by name: {', '.join(left_held)}" if left_held else ""
    document = {"plan_id": plan_id, "syncs": [{"name": n, "rows": r} for n, r in rows.items()]}
    return Outcome(document, f"{plan_id}: {total} rows {done}{held}")
