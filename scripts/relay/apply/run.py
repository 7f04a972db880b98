"""`relay apply`: sends a sealed plan, from where the ledger says it stands to the end.

Calling it again after anything (a crash, a signal, a vendor's bad day) goes on; calling it again
after the end sends nothing. What is sent is what was sealed, byte for byte.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import httpx

from relay.apply.bodies import cut_body
from relay.apply.delivery import Delivery, Job, MemoryRecord, Record
from relay.apply.destinations import Route, open_way, route_of
from relay.apply.lane import Failure, Lane, wait_for
from relay.apply.ledger import Ledger
from relay.apply.limits import Limits, read_limits
from relay.apply.progress import SendingProgress
from relay.apply.result import ApplyResult, SyncResult
from relay.apply.standing import Standing, check_has_rows, check_names, look
from relay.apply.state import histories
from relay.apply.ways import Way
from relay.errors import ConfigurationError, PlanError
from relay.plan.manifest import Plan
from relay.settings import Settings

__all__ = ["ApplyResult", "SyncResult", "apply_plan"]

GRACE_SECONDS = 10.0


def apply_plan(
    settings: Settings,
    plan: Plan,
    *,
    approve: Collection[str] = (),
    dry_run: bool = False,
    syncs: Collection[str] | None = None,
    stop: threading.Event | None = None,
    transport: httpx.BaseTransport | None = None,
    grace_seconds: float = GRACE_SECONDS,
) -> ApplyResult:
    """Send what a plan has still to send. The caller holds the lock.

    Args:
        settings: Where the ledger is, the credentials, the clock.
        plan: As `read_plan` gave it: every hash was right.
        approve: Held syncs to send all the same.
        dry_run: Have the vendors validate the requests, where they can, and store nothing; the
            others' are only read. The ledger gets no line.
        syncs: Only these; None for all.
        stop: Set from outside to end cleanly: nothing new begins, what is in flight is waited for,
            and after `grace_seconds` marked as unknown.
        transport: For tests, instead of the network.
        grace_seconds: See `stop`.

    Returns:
        Every row of the plan in one outcome, and what went wrong.

    Raises:
        ConfigurationError: A name in `approve` or `syncs` is not in the plan, or the plan has
            nothing of it that could be approved.
        LedgerError: The ledger cannot be read or written; nothing is sent without it.
        PlanError: The plan's files do not fit together.
    """
    stop = stop or threading.Event()
    check_names(plan, [*approve, *(syncs or ())])
    for name in approve:
        check_has_rows(plan, name)
    with Ledger.open(settings.home) as ledger:
        standings = look(settings, plan, ledger, approve, syncs)
        run = _Run(settings, plan, ledger, standings, is_dry=dry_run, transport=transport)
        failures = run.send(stop, grace_seconds)
        after = histories(ledger.lines(plan.plan_id))
    results = [standing.result(after) for standing in standings]
    return ApplyResult(plan.plan_id, dry_run, stop.is_set(), results, failures)


class _PlanRecord:
    """The ledger, for the lines of one plan."""

    def __init__(self, ledger: Ledger, plan_id: str, now: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._plan_id = plan_id
        self._now = now

    def append(self, kind: str, **line: Any) -> None:
        """Write one line; it is on disk when this returns."""
        self._ledger.append(kind, at=self._now(), plan_id=self._plan_id, **line)


class _Run:
    """One call of `apply_plan`: its lanes, and what goes wrong in them."""

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        ledger: Ledger,
        standings: Sequence[Standing],
        *,
        is_dry: bool,
        transport: httpx.BaseTransport | None,
    ) -> None:
        self._settings = settings
        self._plan = plan
        self._ledger = ledger
        self._standings = standings
        self._is_dry = is_dry
        self._transport = transport
        self._failures = [
            Failure(standing.sync.name, f"{standing.state}: {standing.reason}", PlanError.exit_code)
            for standing in standings
            if standing.is_refused
        ]
        self._progress = SendingProgress({})

    def send(self, stop: threading.Event, grace_seconds: float) -> list[Failure]:
        """Send everything that may be sent, each destination at its own pace."""
        to_send = [standing for standing in self._standings if standing.is_to_be_sent]
        routes: dict[Route, list[Standing]] = {}
        for standing in to_send:
            if standing.outgoing.file is not None:
                route = route_of(self._settings, standing.sync, standing.outgoing.file)
                routes.setdefault(route, []).append(standing)
            if not self._is_dry:
                standing.announce(self._plan, self._ledger, self._settings.now())
        limits = read_limits(self._settings.project_root) if routes else {}
        lanes = []
        totals: dict[str, int] = {}
        for route, members in routes.items():
            way = self._way(route, members, limits)
            if way is not None:
                lanes.append(self._lane(route, way, members))
                rows = sum(member.outgoing.unsettled(member.history) for member in members)
                totals[route.destination] = totals.get(route.destination, 0) + rows
        self._progress = SendingProgress(totals)
        with self._progress:
            wait_for(lanes, stop, grace_seconds)
        for lane in lanes:
            if lane.error is not None:
                raise lane.error
            self._failures.extend(lane.failures)
        return self._failures

    def _way(
        self, route: Route, members: Sequence[Standing], limits: Mapping[tuple[str, str], Limits]
    ) -> Way | None:
        """The connected way; None where nothing can be sent, the reason noted."""
        if self._is_dry and not route.way.has_dry_run:
            for member in members:
                self._read_only(route, member)
            return None
        try:
            way = open_way(route, self._settings, limits, self._transport)
        except ConfigurationError as error:
            message = f"{route.destination}: {error}"
            self._failures.append(Failure(route.destination, message, error.exit_code))
            return None
        return way.dry_way() if self._is_dry else way

    def _lane(self, route: Route, way: Way, members: Sequence[Standing]) -> Lane:
        by_name = {member.sync.name: member for member in members}

        def jobs(phase: int, without: Collection[str]) -> Iterator[Job]:
            for name, member in by_name.items():
                if name not in without:
                    now = self._settings.now()
                    yield from member.outgoing.jobs(way, member.history, now, phase)

        def listen(job: Job, delivery: Delivery) -> None:
            self._progress.advance(route.destination, job.weight)
            if self._is_dry:
                by_name[job.sync.name].take_in(job, delivery)

        record: Record = MemoryRecord()
        if not self._is_dry:
            record = _PlanRecord(self._ledger, self._plan.plan_id, self._settings.now)
        return Lane(route.destination, way, record, jobs, now=self._settings.now, listener=listen)

    def _read_only(self, route: Route, member: Standing) -> None:
        """A dry run where the vendor has none: see that each body holds the rows it stands for."""
        for request, body in member.outgoing.bodies():
            size = member.outgoing.requests[request]
            path = route.way.records
            records = size.rows if path is None else len(cut_body(body, path).records)
            if records != size.rows:
                message = (
                    f"{member.sync.name}: request {request} holds {records} records and stands for "
                    f"{size.rows}; run `relay plan` for a new plan"
                )
                self._failures.append(Failure(member.sync.name, message, PlanError.exit_code))
            else:
                member.checked += size.rows
