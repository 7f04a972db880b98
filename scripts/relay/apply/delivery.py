"""Carries one request to its end: sent, cut, sent again, until every row has an outcome.

The ledger is told before each send and after each answer, and each line tells where all rows of
the request stand then (see `state.py`). So whatever stops this, the next run goes on from the last
line.
"""

import json
import random
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from relay.apply.bodies import Body, cut_body
from relay.apply.ledger_lines import Rejection
from relay.apply.state import RequestState
from relay.apply.verdicts import Again, Exchange, Verdict, halves
from relay.apply.ways import Call, Way
from relay.faultpoints import reach
from relay.http import short_text
from relay.plan.manifest import PlanFile, PlanSync

# So many refusals are looked into by halves; then what is left is refused as it is.
MOST_REFUSALS = 32
SHORTEST_ID = 3


@dataclass(frozen=True)
class Job:
    """One request of a plan, to be brought to its end.

    `rows` is the number of records in its body (1 where the way cannot cut it), `weight` the number
    of the plan's rows it stands for. `state` is how the ledger left it, in `rows`.
    """

    sync: PlanSync
    file: PlanFile
    request: int
    body: bytes
    rows: int
    weight: int
    state: RequestState
    list_file: Path | None = None


class Record(Protocol):
    """Where lines go: the ledger, or memory for what is only tried."""

    def append(
        self,
        kind: str,
        *,
        sync: str,
        request: int,
        attempt: int,
        http_status: int | None = None,
        outcome: str | None = None,
        rejected: Sequence[Rejection] = (),
        unknown: Sequence[int] = (),
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Write one line; it is durable when this returns."""


class Traffic(Protocol):
    """What the deliveries of one way share: turns, stops, and what the others learned."""

    @property
    def stop(self) -> threading.Event:
        """Set when nothing new is to begin."""

    def turn(self) -> AbstractContextManager[float | None]:
        """Wait for a turn and hold it: gives when it began, None when nothing is to be sent."""

    def is_stopped(self, sync: str) -> bool:
        """Whether nothing of this sync is to be sent any more."""

    def learn(self, job: Job, exchange: Exchange, verdict: Verdict, began: float) -> None:
        """Take note of the answer to what `began` then: go slower, or stop."""

    def give_up(self, job: Job, reason: str) -> None:
        """A request was tried as often as it may be, and some of it is still to be sent."""

    def now(self) -> datetime:
        """The clock."""


@dataclass(frozen=True)
class Part:
    """Rows of the request that are still to be sent, together, after a wait in seconds.

    `is_rationed`: the way has granted them already. `is_rehearsed`: a dry run has taken them.
    """

    positions: Sequence[int]
    tries: int = 0
    wait: float = 0.0
    is_rationed: bool = False
    is_rehearsed: bool = False


def positions_to_send(job: Job, way: Way, now: datetime) -> Sequence[int]:
    """The rows of a request that are pending, or in doubt where sending them again does no harm."""
    state = job.state
    if not state.unknown:
        return state.pending
    if not way.may_repeat(job.sync, state.first_sent_at or now, now):
        return state.pending
    return sorted({*state.unknown, *state.pending}) if state.pending else state.unknown


class MemoryRecord:
    """Keeps nothing: for a dry run, whose result is read from its delivery."""

    def append(self, kind: str, **_: Any) -> None:
        """Forget the line."""


class Delivery:
    """One request on its way.

    Attributes:
        rejected: Refused rows by position; position None refuses all.
        doubt: Positions of unknown outcome.
        taken: Positions that were delivered.
    """

    def __init__(
        self, job: Job, way: Way, traffic: Traffic, record: Record, chance: random.Random
    ) -> None:
        self._job = job
        self._way = way
        self._traffic = traffic
        self._record = record
        self._chance = chance
        self._lock = threading.Lock()
        self._attempts = job.state.attempts
        self._first_sent_at = job.state.first_sent_at
        self._refusals = 0
        self._given_up: set[int] = set()
        self._open: deque[Part] = deque()
        self._part: Part | None = None
        self._is_over = False
        self._cut: Body | None = None
        self._parsed: list[dict[str, Any]] | None = None
        self._ids: list[str] | None = None
        self.rejected = {rejection.position: rejection for rejection in job.state.rejected}
        self.doubt = set(job.state.unknown)
        self.taken = set(range(job.rows)) - self.doubt - set(job.state.pending) - set(self.rejected)
        self._open.append(Part(positions_to_send(job, way, traffic.now())))

    def run(self) -> None:
        """Send until nothing is left to send, or until the traffic is stopped."""
        while self._open and not self._is_over:
            part = self._open.popleft()
            if not self._carry(part):
                self._open.appendleft(part)
                return

    @property
    def is_unfinished(self) -> bool:
        """Whether rows are still to be sent: it was stopped, or they had all their tries."""
        return bool(self._open or self._given_up)

    def _carry(self, part: Part) -> bool:
        """Bring a part on its way; False when nothing is to be sent any more."""
        if part.wait > 0 and self._traffic.stop.wait(part.wait):
            return False
        if self._traffic.is_stopped(self._job.sync.name):
            return False
        if not self._has_ration(part):
            return True
        if self._way.rehearses and not part.is_rehearsed:
            rehearsed = self._rehearse(part)
            if rehearsed is None:
                return False
            part = rehearsed
        return not part.positions or self._send(part)

    def abandon(self) -> None:
        """Wait for the answer no longer: the rows that are out are of unknown outcome."""
        with self._lock:
            if not self._is_over and self._part is not None:
                self.doubt.update(self._part.positions)
                self._tell(None, "stopped before an answer came")
            self._is_over = True

    def _send(self, part: Part) -> bool:
        """Send some rows and take in the answer; False when nothing is to be sent any more."""
        call = self._call(part.positions)
        with self._traffic.turn() as began:
            if began is None or self._traffic.is_stopped(self._job.sync.name):
                return False
            with self._lock:
                if self._is_over:
                    return False
                self._announce(part)
            reach("apply.send.before")
            exchange = self._way.send(call)
            reach("apply.send.after")
        verdict = self._way.judge(call, exchange, part.tries)
        with self._lock:
            if self._is_over:
                return False
            self._part = None
            given_up = self._take_in(part, verdict)
            self._tell(exchange.status, verdict.reason)
        self._traffic.learn(self._job, exchange, verdict, began)
        if given_up:
            self._traffic.give_up(self._job, verdict.reason)
        return True

    def _rehearse(self, part: Part) -> Part | None:
        """Try some rows without storing them; gives those that were taken, None to stop."""
        dry_way = self._way.dry_way()
        if dry_way is None:
            return part
        state = RequestState(self._job.rows, pending=part.positions)
        rehearsal = Delivery(
            replace(self._job, state=state), dry_way, self._traffic, MemoryRecord(), self._chance
        )
        rehearsal.taken = set()
        rehearsal.run()
        if len(rehearsal.taken) + rehearsal.rejected_rows != len(part.positions):
            return None
        self.rejected.update(rehearsal.rejected)
        taken = sorted(rehearsal.taken)
        if not taken:
            with self._lock:
                self._tell(None, "refused by the dry run")
        return replace(part, positions=taken, is_rehearsed=True)

    @property
    def rejected_rows(self) -> int:
        """How many rows were refused."""
        return self._job.rows if None in self.rejected else len(self.rejected)

    def _has_ration(self, part: Part) -> bool:
        """Whether all rows of a part may go now; else they are put back in two parts."""
        if not self._way.reads_records or part.is_rationed:
            return True
        path = (self._job.file.send or {})["path"]
        records = self._records(part.positions)
        now, wait = self._way.ration(path, records, part.positions)
        if len(now) == len(part.positions):
            return True
        later = sorted(set(part.positions) - set(now))
        self._open.appendleft(replace(part, positions=later, wait=wait))
        if now:
            self._open.appendleft(replace(part, positions=now, wait=0.0, is_rationed=True))
        return False

    # --- what an answer changes ------------------------------------------------------------------

    def _take_in(self, part: Part, verdict: Verdict) -> bool:
        """Settle rows and line up what goes again; True when some of it has had its tries."""
        rows = part.positions
        if verdict.outcome == "unknown":
            self.doubt.update(rows)
            first = self._first_sent_at or self._traffic.now()
            if self._way.may_repeat(self._job.sync, first, self._traffic.now()):
                return self._line_up(part, Again(range(len(rows))), gives_up=False)
            return False
        if verdict.outcome == "rejected":
            self._refuse(part, verdict.rejected[0])
            return False
        again = {rows[position] for one in verdict.again for position in one.positions}
        for rejection in verdict.rejected:
            if rejection.position is not None:
                self._reject(rejection, rows[rejection.position])
        if verdict.outcome == "delivered":
            unknown = {rows[position] for position in verdict.unknown}
            self.doubt.difference_update(rows)
            self.doubt.update(unknown)
            self.taken.update(set(rows) - unknown - again - set(self.rejected))
        elif verdict.stop is not None:
            self._open.append(part)
        given_up = [self._line_up(part, one, gives_up=True) for one in verdict.again]
        return any(given_up)

    def _line_up(self, part: Part, again: Again, *, gives_up: bool) -> bool:
        """Have rows sent again, unless they had their tries."""
        positions = [part.positions[position] for position in again.positions]
        tries = 0 if again.fresh else part.tries + 1
        if tries >= self._way.limits.attempts:
            self._given_up.update(positions if gives_up else ())
            return gives_up
        wait = again.wait
        if wait is None:
            wait = self._way.limits.retries.wait(tries, None, self._chance)
        self._open.append(Part(positions, tries, wait, is_rehearsed=part.is_rehearsed))
        return False

    def _refuse(self, part: Part, rejection: Rejection) -> None:
        """Refuse all rows of a part, or look for the one to blame by halves."""
        rows = part.positions
        if self._way.halves_refusals and len(rows) > 1 and self._refusals < MOST_REFUSALS:
            for half in reversed(halves(len(rows), "refused").again):
                positions = [rows[position] for position in half.positions]
                self._open.appendleft(Part(positions))
            return
        self._refusals += 1
        self.doubt.difference_update(rows)
        for position in [None] if len(rows) == self._job.rows else rows:
            self._reject(rejection, position)

    def _reject(self, rejection: Rejection, position: int | None) -> None:
        """Note a refusal at its place in the whole request, in words fit to be kept."""
        text = short_text(self._without_ids(rejection.text), self._way.secrets)
        code = short_text(rejection.code, self._way.secrets)
        self.rejected[position] = Rejection(position, code, text)
        if position is not None:
            self.doubt.discard(position)

    def _without_ids(self, text: str) -> str:
        """A vendor's words without the identifiers of the request, should it repeat any."""
        if self._ids is None:
            is_cut = self._way.records is not None
            records = self._records(range(self._job.rows)) if is_cut else []
            keys = self._way.identifying
            found = (str(record.get(key) or "") for record in records for key in keys)
            longest_first = sorted(set(found), key=len, reverse=True)
            self._ids = [one for one in longest_first if len(one) >= SHORTEST_ID]
        for one in self._ids:
            if one in text:
                text = text.replace(one, "…")
        return text

    # --- lines of the ledger ---------------------------------------------------------------------

    def _announce(self, part: Part) -> None:
        """Write that rows go out now."""
        self._part = part
        self._attempts += 1
        self._first_sent_at = self._first_sent_at or self._traffic.now()
        unsettled = self._unsettled() | set(part.positions)
        is_whole = len(unsettled) == len(part.positions) == self._job.rows
        pending = sorted(unsettled - set(part.positions) - self.doubt)
        self._record.append(
            "sending",
            sync=self._job.sync.name,
            request=self._job.request,
            attempt=self._attempts,
            rejected=tuple(self.rejected.values()),
            unknown=() if is_whole else sorted(unsettled),
            detail={"pending": pending} if pending else None,
        )

    def _tell(self, http_status: int | None, reason: str) -> None:
        """Write where all rows of the request stand after an answer."""
        unsettled = self._unsettled()
        pending = sorted(unsettled - self.doubt)
        outcome = "delivered"
        detail: dict[str, Any] = {}
        if None in self.rejected:
            outcome = "rejected"
        elif unsettled and not self.taken:
            outcome = "unknown" if self.doubt else "not_processed"
        if pending and outcome != "not_processed":
            detail["pending"] = pending
        if outcome != "delivered" or unsettled:
            detail["reason"] = reason
        is_whole = len(unsettled) == self._job.rows and "pending" not in detail
        self._record.append(
            "answered",
            sync=self._job.sync.name,
            request=self._job.request,
            attempt=max(self._attempts, 1),
            http_status=http_status,
            outcome=outcome,
            rejected=tuple(self.rejected.values()),
            unknown=() if is_whole else sorted(unsettled),
            detail=detail,
        )

    def _unsettled(self) -> set[int]:
        """Rows that are neither taken nor refused."""
        lined_up = (position for part in self._open for position in part.positions)
        return {*self.doubt, *lined_up, *self._given_up} - set(self.rejected)

    # --- bodies ----------------------------------------------------------------------------------

    def _call(self, positions: Sequence[int]) -> Call:
        send = self._job.file.send or {}
        is_whole = len(positions) == self._job.rows
        return Call(
            method=send["method"],
            path=send["path"],
            query=send["query"],
            content_type=send["content_type"],
            body=self._job.body if is_whole else self._body().of(positions),
            rows=len(positions),
            records=self._records(positions) if self._way.reads_records else (),
            list_file=self._job.list_file,
        )

    def _body(self) -> Body:
        if self._cut is None:
            self._cut = cut_body(self._job.body, self._way.records or ())
        return self._cut

    def _records(self, positions: Sequence[int]) -> list[dict[str, Any]]:
        if self._parsed is None:
            self._parsed = [dict(json.loads(record)) for record in self._body().records]
        return [self._parsed[position] for position in positions]
