"""Where each request of a plan stands, read from the ledger alone.

The last line of a request tells everything about its rows. `rejected` lists the refused, now or
before. `unknown` lists those in doubt; of them `detail.pending` are known not to have been taken.
Rows in neither list are delivered, except that a line that settles nothing (`sending`, or answered
`unknown` or `not_processed`) and lists nothing speaks of all rows. So a part of a request that goes
again is announced by a `sending` line that lists the part. A line without a request (confirmed,
adopted, resolved) speaks for the whole sync.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from relay.apply.ledger_lines import LedgerLine, Rejection

_SPEAKS_FOR_REQUESTS = ("sending", "answered", "confirmed", "adopted", "resolved")


@dataclass(frozen=True)
class RequestState:
    """How the ledger leaves one request.

    Attributes:
        rows: Rows in the request.
        rejected: Refused rows; one entry without position refuses all.
        unknown: Positions whose outcome is not known.
        pending: Positions that are to be sent.
        attempts: How often it was sent.
        first_sent_at: When it was first sent.
    """

    rows: int
    rejected: tuple[Rejection, ...] = ()
    unknown: Sequence[int] = ()
    pending: Sequence[int] = ()
    attempts: int = 0
    first_sent_at: datetime | None = None

    @property
    def rejected_count(self) -> int:
        """Rows that were refused."""
        if any(rejection.position is None for rejection in self.rejected):
            return self.rows
        return len({rejection.position for rejection in self.rejected})

    @property
    def delivered_count(self) -> int:
        """Rows that were taken."""
        return self.rows - self.rejected_count - len(self.unknown) - len(self.pending)


@dataclass
class SyncHistory:
    """The lines of one sync in one plan that its requests' states follow from."""

    last: dict[int, LedgerLine] = field(default_factory=dict)
    whole: LedgerLine | None = None
    attempts: dict[int, int] = field(default_factory=dict)
    first_sent_at: dict[int, datetime] = field(default_factory=dict)
    is_approved: bool = False

    def add(self, line: LedgerLine) -> None:
        """Take in one line; they come in the order of `seq`."""
        if line.kind == "approved":
            self.is_approved = True
        if line.kind not in _SPEAKS_FOR_REQUESTS:
            return
        if line.request is None:
            self.whole = line
            self.last.clear()
            return
        request = line.request
        self.last[request] = line
        if line.kind == "sending":
            self.attempts[request] = self.attempts.get(request, 0) + 1
            self.first_sent_at.setdefault(request, line.at)

    def state(self, request: int, rows: int) -> RequestState:
        """How a request of `rows` rows stands."""
        line = self.last.get(request, self.whole)
        state = state_after(line, rows)
        return replace(
            state,
            attempts=self.attempts.get(request, 0),
            first_sent_at=self.first_sent_at.get(request),
        )


def state_after(line: LedgerLine | None, rows: int) -> RequestState:
    """What one line, as the last of a request of `rows` rows, says about these rows."""
    if line is None:
        return RequestState(rows, pending=range(rows))
    if line.outcome == "rejected":
        return RequestState(rows, line.rejected)
    refused = {rejection.position for rejection in line.rejected}
    listed: Sequence[int] = line.unknown
    if not listed and not _settles(line):
        listed = [p for p in range(rows) if p not in refused] if refused else range(rows)
    is_to_be_sent = line.outcome == "not_processed" or line.detail.get("decision") == "resend"
    if is_to_be_sent:
        return RequestState(rows, line.rejected, pending=listed)
    pending = set(line.detail.get("pending", ()))
    return RequestState(
        rows,
        line.rejected,
        unknown=[p for p in listed if p not in pending] if pending else listed,
        pending=[p for p in listed if p in pending] if pending else (),
    )


def _settles(line: LedgerLine) -> bool:
    """Whether the rows that a line does not list are delivered."""
    if line.kind == "answered":
        return line.outcome == "delivered"
    return line.kind in ("confirmed", "adopted") or line.detail.get("decision") == "delivered"


def histories(lines: Iterable[LedgerLine]) -> dict[str, SyncHistory]:
    """The history of every sync in the lines of one plan, which come in the order of `seq`."""
    found: dict[str, SyncHistory] = {}
    for line in lines:
        if line.sync is not None:
            found.setdefault(line.sync, SyncHistory()).add(line)
    return found
