"""What a person decides, as lines of the ledger: confirm, resolve, pause, resume.

The caller holds the lock and has the ledger open. Doing one twice writes nothing the second time.
"""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Literal

from relay.apply.ledger import Ledger
from relay.apply.outgoing import Outgoing, read_all_outgoing
from relay.apply.standing import check_has_rows, check_names, pause_undone, stale_syncs
from relay.apply.state import SyncHistory, histories
from relay.errors import PlanError
from relay.plan.manifest import Plan

Decision = Literal["delivered", "resend"]


def confirm(
    ledger: Ledger, plan: Plan, *, at: datetime, syncs: Collection[str] | None = None
) -> dict[str, int]:
    """Record that what a plan has still to send was uploaded by hand.

    Rows that were refused stay refused; rows of unknown outcome count as delivered.

    Args:
        ledger: Open.
        plan: The plan.
        at: When; it becomes the time of delivery.
        syncs: Only these; None for every sync but those that are held and not approved, which
            somebody has to name.

    Returns:
        Rows confirmed, by sync; 0 where nothing was left.

    Raises:
        ConfigurationError: A sync is not in the plan, or the plan has no rows of it.
        LedgerError: The plan's ledger file is gone.
        PlanError: A sync is stale: what was uploaded is not what the plan knew.
    """
    confirmed: dict[str, int] = {}
    chosen = [
        (outgoing, history)
        for outgoing, history in _chosen(ledger, plan, syncs)
        if syncs is not None or outgoing.sync.state != "held" or history.is_approved
    ]
    for name in syncs or ():
        check_has_rows(plan, name)
    stale = stale_syncs(plan, ledger)
    for outgoing, history in chosen:
        name = outgoing.sync.name
        if name in stale and outgoing.unsettled(history):
            raise PlanError(
                f"{name} of plan {plan.plan_id} is stale: plan {stale[name]} changed it since; "
                "run `relay plan` and confirm that one"
            )
    for outgoing, history in chosen:
        name = outgoing.sync.name
        confirmed[name] = 0
        if plan.kind == "undo" and outgoing.unsettled(history):
            pause_undone(plan, ledger, name, at)
        if not history.last and history.whole is None and outgoing.rows:
            ledger.append("confirmed", at=at, plan_id=plan.plan_id, sync=name)
            confirmed[name] = outgoing.rows
            continue
        for request, size in outgoing.requests.items():
            state = history.state(request, size.rows)
            left = len(state.pending) + len(state.unknown)
            if left:
                ledger.append(
                    "confirmed",
                    at=at,
                    plan_id=plan.plan_id,
                    sync=name,
                    request=request,
                    rejected=state.rejected,
                )
                confirmed[name] += left
    return confirmed


def resolve(
    ledger: Ledger,
    plan: Plan,
    decision: Decision,
    *,
    at: datetime,
    syncs: Collection[str] | None = None,
) -> dict[str, int]:
    """Decide what became of rows of unknown outcome.

    Args:
        ledger: Open.
        plan: The plan.
        decision: `delivered` settles them; `resend` makes them pending again, so that applying the
            plan sends the same bytes once more.
        at: When.
        syncs: Only these; None for all.

    Returns:
        Rows resolved, by sync; 0 where none was unknown.

    Raises:
        ConfigurationError: A sync is not in the plan.
        LedgerError: The plan's ledger file is gone.
    """
    resolved: dict[str, int] = {}
    for outgoing, history in _chosen(ledger, plan, syncs):
        name = outgoing.sync.name
        resolved[name] = 0
        for request, size in outgoing.requests.items():
            state = history.state(request, size.rows)
            if not state.unknown:
                continue
            pending = list(state.pending)
            is_whole = len(state.unknown) == size.rows
            listed = [] if is_whole else sorted([*state.unknown, *pending])
            ledger.append(
                "resolved",
                at=at,
                plan_id=plan.plan_id,
                sync=name,
                request=request,
                rejected=state.rejected,
                unknown=pending if decision == "delivered" else listed,
                detail={"decision": decision, **({"pending": pending} if pending else {})},
            )
            resolved[name] += len(state.unknown)
    return resolved


def pause(ledger: Ledger, sync: str, *, at: datetime, reason: str | None = None) -> bool:
    """Stop a sync until it is resumed; False when it was paused already."""
    if sync in ledger.paused:
        return False
    detail = {"reason": reason} if reason else None
    ledger.append("paused", at=at, plan_id=None, sync=sync, detail=detail)
    return True


def resume(ledger: Ledger, sync: str, *, at: datetime) -> bool:
    """Let a paused sync go on; False when it was not paused."""
    if sync not in ledger.paused:
        return False
    ledger.append("resumed", at=at, plan_id=None, sync=sync)
    return True


def _chosen(
    ledger: Ledger, plan: Plan, syncs: Collection[str] | None
) -> Iterator[tuple[Outgoing, SyncHistory]]:
    check_names(plan, syncs or ())
    ledger.require_file_of(plan.plan_id)
    own = histories(ledger.lines(plan.plan_id))
    for name, outgoing in read_all_outgoing(plan).items():
        if syncs is None or name in syncs:
            yield outgoing, own.get(name, SyncHistory())
