"""How each sync of a plan stands before it is applied: sent, held, stale, paused, or to be sent."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from relay.apply.delivery import Delivery, Job
from relay.apply.ledger import Ledger
from relay.apply.ledger_lines import Rejection
from relay.apply.outgoing import Outgoing, read_all_outgoing
from relay.apply.result import SyncResult
from relay.apply.state import SyncHistory, histories
from relay.plan.manifest import Plan, PlanSync

REFUSALS_SHOWN = 20
TO_BE_SENT = "to_be_sent"
SENT = "sent"


@dataclass
class Standing:
    """One sync of the plan.

    Attributes:
        outgoing: Its requests.
        history: Its lines in the ledger before this run.
        state: As `SyncResult.state`, and `to_be_sent`.
        reason: Why it is not sent, in words.
        is_refused: Somebody has to act before it can be sent.
    """

    outgoing: Outgoing
    history: SyncHistory
    state: str
    reason: str | None = None
    is_refused: bool = False
    checked: int = 0
    refused: int = 0
    refusals: list[Rejection] = field(default_factory=list)

    @property
    def sync(self) -> PlanSync:
        """The sync as the plan has it."""
        return self.outgoing.sync

    @property
    def is_to_be_sent(self) -> bool:
        """Whether requests of it are to be sent now."""
        return self.state == TO_BE_SENT

    def announce(self, plan: Plan, ledger: Ledger, at: datetime) -> None:
        """Write what goes before its first request: it is approved; an undo pauses its sync."""
        name = self.sync.name
        if self.sync.state == "held" and not self.history.is_approved:
            detail = {"plan_hash": plan.plan_hash}
            ledger.append("approved", at=at, plan_id=plan.plan_id, sync=name, detail=detail)
        if plan.kind == "undo" and name not in ledger.paused:
            detail = {"reason": "undo", "plan_id": plan.plan_id}
            ledger.append("paused", at=at, plan_id=None, sync=name, detail=detail)

    def take_in(self, job: Job, delivery: Delivery) -> None:
        """Count what a dry run of one request found."""
        weight = job.weight if job.rows == 1 else 1
        self.checked += weight * len(delivery.taken)
        self.refused += weight * delivery.rejected_rows
        room = REFUSALS_SHOWN - len(self.refusals)
        self.refusals.extend(list(delivery.rejected.values())[:room])

    def result(self, after: Mapping[str, SyncHistory]) -> SyncResult:
        """Its rows by outcome, as the ledger has them now."""
        history = after.get(self.sync.name, SyncHistory())
        delivered = rejected = unknown = pending = 0
        for state in self.outgoing.states(history):
            delivered += state.delivered_count
            rejected += state.rejected_count
            unknown += len(state.unknown)
            pending += len(state.pending)
        left = {"held": "held", "stale": "superseded"}.get(self.state, "pending")
        return SyncResult(
            name=self.sync.name,
            destination=self.sync.destination,
            state=SENT if self.is_to_be_sent else self.state,
            reason=self.reason,
            planned=self.outgoing.rows,
            delivered=delivered,
            rejected=rejected,
            unknown=unknown,
            checked=self.checked,
            refused=self.refused,
            refusals=tuple(self.refusals),
            **{left: pending},
        )


def look(
    plan: Plan, ledger: Ledger, approve: Collection[str], asked: Collection[str] | None
) -> list[Standing]:
    """How every sync of the plan stands.

    Args:
        plan: The plan.
        ledger: Open.
        approve: Held syncs that may be sent.
        asked: Only these; None for all.

    Raises:
        LedgerError: The plan's ledger file is gone.
        PlanError: A sync's files do not fit together.
    """
    ledger.require_file_of(plan.plan_id)
    own = histories(ledger.lines(plan.plan_id))
    stale = stale_syncs(plan, ledger)
    standings = []
    outgoing = read_all_outgoing(plan)
    for sync in plan.syncs:
        history = own.get(sync.name, SyncHistory())
        standing = Standing(outgoing[sync.name], history, sync.state, sync.reason)
        standings.append(standing)
        if asked is not None and sync.name not in asked:
            standing.state = "not_asked"
        elif sync.state == "held" and sync.name not in approve and not history.is_approved:
            standing.state = "held"
        elif sync.state in ("ready", "held"):
            _decide(standing, plan, stale, ledger.paused)
    return standings


def _decide(
    standing: Standing, plan: Plan, stale: Mapping[str, str], paused: Collection[str]
) -> None:
    """Whether a sync that may be sent has something to send, and is still current."""
    name = standing.sync.name
    standing.reason = None
    states = list(standing.outgoing.states(standing.history))
    if not any(state.pending or state.unknown for state in states):
        standing.state = SENT
    elif name in stale:
        standing.state = "stale"
        standing.is_refused = any(state.pending for state in states)
        standing.reason = (
            f"stale: plan {stale[name]} changed {name} after this plan was made; run `relay plan`"
        )
    elif name in paused and plan.kind != "undo":
        standing.state = "paused"
        standing.is_refused = True
        standing.reason = f"{name} is paused; run `relay resume {name}` first"
    elif standing.outgoing.file is None:
        standing.state = "ready"
        standing.is_refused = True
        standing.reason = f"{name} was not recorded as adopted; run `relay plan --adopt {name}`"
    else:
        standing.state = TO_BE_SENT


def stale_syncs(plan: Plan, ledger: Ledger) -> dict[str, str]:
    """Syncs for which the ledger has later lines of another plan, and that plan."""
    positions = {sync.name: sync.ledger_seq for sync in plan.syncs}
    if not positions:
        return {}
    stale = {}
    for line in ledger.lines_after(min(positions.values())):
        if line.plan_id in (None, plan.plan_id) or line.sync not in positions:
            continue
        if line.seq > positions[line.sync]:
            stale[line.sync] = line.plan_id or ""
    return stale
