"""`relay apply` as commands and `relay sync` call it: send, then bring the tables up to date."""

import threading
from collections.abc import Collection
from contextlib import suppress

from relay import warehouse
from relay.apply.run import ApplyResult, apply_plan
from relay.errors import RelayError
from relay.plan.build import build
from relay.plan.manifest import read_plan
from relay.rehearsal.home import refuse_over_rehearsal
from relay.settings import Settings


def apply_sealed(
    settings: Settings,
    plan_id: str,
    *,
    approve: Collection[str] = (),
    dry_run: bool = False,
    syncs: Collection[str] | None = None,
    stop: threading.Event | None = None,
) -> ApplyResult:
    """Check and send a sealed plan; `members` and `status` are right when it returns.

    The caller holds the lock and has no connection to the warehouse open. See `apply_plan` for the
    arguments.

    Raises:
        PlanError: There is no such plan, or it was changed after sealing; nothing is sent.
        ConfigurationError: A name is not in the plan, or the home holds a rehearsal and a vendor's
            address is real.
        LedgerError: The ledger cannot be read or written.
    """
    refuse_over_rehearsal(settings)
    plan = read_plan(settings.home, plan_id)
    try:
        result = apply_plan(
            settings, plan, approve=approve, dry_run=dry_run, syncs=syncs, stop=stop
        )
    except BaseException:
        if not dry_run:
            # What ended the sending is told, not that the tables cannot show it either.
            with suppress(RelayError):
                show_ledger(settings)
        raise
    if not dry_run:
        show_ledger(settings)
    return result


def show_ledger(settings: Settings) -> None:
    """Let the tables and the analysts' copy show what the ledger says now."""
    build(settings.for_run())
    warehouse.publish(settings.home)
