"""What an apply ends with: every row of the plan in one outcome, and the exit code that follows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from relay.apply.lane import Failure
from relay.apply.ledger_lines import Rejection

INTERRUPTED = 130
HELD = 3
NOT_ALL_DELIVERED = 4


@dataclass(frozen=True)
class SyncResult:
    """The rows of one sync by outcome; they add up to `planned`.

    Attributes:
        name: The sync.
        destination: Where it goes.
        state: `sent` (as far as it went), `adopted` (confirmed, nothing was sent), `held`, `stale`,
            `paused`, `not_asked` (left out by name), or the plan's own state of a sync that has
            nothing to send.
        reason: In words, where the state needs one.
        planned: Rows in the plan.
        superseded: Rows left over because another plan of the sync was sent since.
        checked: In a dry run, rows that the vendor looked at and took.
        refused: In a dry run, rows it would refuse.
        refusals: The first of these.
    """

    name: str
    destination: str
    state: str
    reason: str | None
    planned: int
    delivered: int = 0
    rejected: int = 0
    unknown: int = 0
    held: int = 0
    pending: int = 0
    superseded: int = 0
    checked: int = 0
    refused: int = 0
    refusals: Sequence[Rejection] = ()


@dataclass(frozen=True)
class ApplyResult:
    """What came of applying a plan."""

    plan_id: str
    is_dry_run: bool
    is_interrupted: bool
    syncs: Sequence[SyncResult]
    failures: Sequence[Failure]

    @property
    def exit_code(self) -> int:
        """130 after a signal, else the first that applies of 2, 1, 3, 4, else 0."""
        if self.is_interrupted:
            return INTERRUPTED
        for code in (2, 1):
            if any(failure.exit_code == code for failure in self.failures):
                return code
        if any(sync.state == "held" and sync.held for sync in self.syncs):
            return HELD
        if any(sync.rejected or sync.unknown or sync.refused for sync in self.syncs):
            return NOT_ALL_DELIVERED
        return 0

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document of `relay apply`."""
        return {
            "plan_id": self.plan_id,
            "dry_run": self.is_dry_run,
            "interrupted": self.is_interrupted,
            "syncs": [
                {**vars(sync), "refusals": [vars_of(refusal) for refusal in sync.refusals]}
                for sync in self.syncs
            ],
            "failures": [
                {"name": failure.name, "message": failure.message} for failure in self.failures
            ],
        }


def vars_of(rejection: Rejection) -> dict[str, Any]:
    """A rejection as a document."""
    return {"position": rejection.position, "code": rejection.code, "text": rejection.text}
