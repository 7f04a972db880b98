"""How each sync of a plan stands before it is applied: sent, held, stale, paused, or to be sent."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from relay.apply.delivery import Delivery, Job
from relay.apply.ledger import Ledger
from relay.apply.ledger_lines import LedgerLine, Rejection
from relay.apply.outgoing import Outgoing, read_all_outgoing
from relay.apply.result import SyncResult
from relay.apply.state import SyncHistory, histories
from relay.errors import ConfigurationError
from relay.plan.manifest import Plan, PlanSync, plans_beside, suppress_hash_of
from relay.settings import Settings

REFUSALS_SHOWN = 20
ADDITIONS = 2
# A later plan with a sync in such a state has nothing of it, and ends what earlier ones left open.
ENDS_EARLIER_PLANS = ("empty", "no_snapshot")
TO_BE_SENT = "to_be_sent"
SENT = "sent"
ADOPTED = "adopted"


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

    def refuse(self, state: str, reason: str) -> None:
        """Say that it is not sent before somebody has acted."""
        self.state, self.reason, self.is_refused = state, reason, True

    def announce(self, plan: Plan, ledger: Ledger, at: datetime) -> None:
        """Write what goes before its first request: it is approved; an undo pauses its sync."""
        name = self.sync.name
        if self.sync.state == "held" and not self.history.is_approved:
            detail = {"plan_hash": plan.plan_hash}
            ledger.append("approved", at=at, plan_id=plan.plan_id, sync=name, detail=detail)
        if plan.kind == "undo":
            pause_undone(plan, ledger, name, at)

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
    settings: Settings,
    plan: Plan,
    ledger: Ledger,
    approve: Collection[str],
    asked: Collection[str] | None,
) -> list[Standing]:
    """How every sync of the plan stands.

    Args:
        settings: With the suppression list of now.
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
    stale = overtaken_syncs(plan, ledger)
    is_list_another = suppress_hash_of(settings.config.suppress) != plan.suppress_sha256
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
        elif sync.state in ("ready", "held", ADOPTED):
            _decide(standing, plan, stale, ledger.paused)
            if standing.is_to_be_sent and is_list_another and _has_additions_left(standing):
                why = "the suppression list changed after this plan was made; run `relay plan`"
                standing.refuse("stale", why)
    return standings


def _has_additions_left(standing: Standing) -> bool:
    return any(
        size.phase == ADDITIONS and standing.history.state(request, size.rows).pending
        for request, size in standing.outgoing.requests.items()
    )


def _decide(
    standing: Standing, plan: Plan, stale: Mapping[str, str], paused: Collection[str]
) -> None:
    """Whether a sync that may be sent has something to send, and is still current."""
    name = standing.sync.name
    standing.reason = None
    states = list(standing.outgoing.states(standing.history))
    if not any(state.pending or state.unknown for state in states):
        is_adopted = standing.sync.state == ADOPTED
        standing.state = ADOPTED if is_adopted else SENT
        standing.reason = "recorded as confirmed, nothing was sent" if is_adopted else None
    elif name in stale:
        standing.refuse("stale", stale[name])
        standing.is_refused = any(state.pending for state in states)
    elif name in paused and plan.kind != "undo":
        standing.refuse("paused", f"{name} is paused; run `relay resume {name}` first")
    elif standing.outgoing.file is None:
        standing.refuse(
            "ready", f"{name} was not recorded as adopted; run `relay plan --adopt {name}`"
        )
    else:
        standing.state = TO_BE_SENT


def check_names(plan: Plan, names: Iterable[str]) -> None:
    """Refuse names that are not of the plan's syncs.

    Raises:
        ConfigurationError: With those that it has.
    """
    known = [sync.name for sync in plan.syncs]
    for name in names:
        if name not in known:
            raise ConfigurationError(
                f"plan {plan.plan_id} has no sync {name!r}; it has {', '.join(known)}"
            )


def check_has_rows(plan: Plan, sync: str) -> None:
    """Refuse to decide about a sync of which the plan has nothing.

    Raises:
        ConfigurationError: With the plan that holds it, where it is held and keeps its place there.
    """
    if plan.file(sync, "rows") is not None:
        return
    state = next((one.state for one in plan.syncs if one.name == sync), None)
    earlier = plans_beside(plan, later=False)
    with_rows = [other.plan_id for other in earlier if sync in other.with_rows]
    hint = f"; it is held in {with_rows[-1]}" if state == "held" and with_rows else ""
    raise ConfigurationError(f"plan {plan.plan_id} has no rows of {sync}{hint}")


def pause_undone(plan: Plan, ledger: Ledger, sync: str, at: datetime) -> None:
    """Pause a sync of an undo, so that its next run does not do again what is taken back."""
    if sync not in ledger.paused:
        detail = {"reason": "undo", "plan_id": plan.plan_id}
        ledger.append("paused", at=at, plan_id=None, sync=sync, detail=detail)


def overtaken_syncs(plan: Plan, ledger: Ledger) -> dict[str, str]:
    """Syncs whose rows of the plan are not what they owe any more, and why, in words.

    Another plan sent something of the sync since; a later look found something else to send, or
    nothing, or no snapshot to go by. So an approval dies with its plan: nobody can approve what a
    better export has put right.
    """
    overtaken = {}
    for other in plans_beside(plan, later=True):
        for name, state in other.states.items():
            ends = name in other.with_rows or (
                state in ENDS_EARLIER_PLANS and other.kind != "trial"
            )
            if ends:
                overtaken[name] = f"plan {other.plan_id} was made of {name} since; run `relay plan`"
    changed = {}
    for line in _later_lines(plan, ledger):
        if line.plan_id is not None:
            why = f"plan {line.plan_id} changed {line.sync} after this plan was made"
            changed[line.sync or ""] = f"{why}; run `relay plan`"
        elif line.kind in ("checked", "adopted"):
            overtaken[line.sync or ""] = "a later look found nothing to send; run `relay plan`"
        elif line.kind == "superseded":
            why = f"a later look says: {line.detail.get('reason')}"
            overtaken[line.sync or ""] = f"{why}; run `relay plan`"
    return overtaken | changed


def stale_syncs(plan: Plan, ledger: Ledger) -> dict[str, str]:
    """Syncs for which the ledger has later lines of another plan, and that plan."""
    later = _later_lines(plan, ledger)
    return {line.sync or "": line.plan_id for line in later if line.plan_id is not None}


def _later_lines(plan: Plan, ledger: Ledger) -> Iterator[LedgerLine]:
    """What the ledger tells of the plan's syncs, but not of the plan, since it was made."""
    positions = {sync.name: sync.ledger_seq for sync in plan.syncs}
    for line in ledger.lines_after(min(positions.values(), default=ledger.last_seq)):
        if line.plan_id != plan.plan_id and line.seq > positions.get(line.sync or "", line.seq):
            yield line
