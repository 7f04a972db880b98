"""The requests of one sync of a sealed plan: how many rows each has, and its exact body."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from relay.apply.delivery import Job, positions_to_send
from relay.apply.state import RequestState, SyncHistory
from relay.apply.ways import Way
from relay.errors import PlanError
from relay.plan.manifest import Plan, PlanFile, PlanSync


@dataclass(frozen=True)
class RequestSize:
    """A request's number of rows and its phase: 1 removals, 2 additions."""

    rows: int
    phase: int


@dataclass(frozen=True)
class Outgoing:
    """One sync of a plan and its requests by number; `file` is None where nothing is sent."""

    sync: PlanSync
    folder: Path
    file: PlanFile | None
    list_file: Path | None
    requests: Mapping[int, RequestSize]

    @property
    def rows(self) -> int:
        """All rows of the sync."""
        return sum(size.rows for size in self.requests.values())

    def jobs(
        self, way: Way, history: SyncHistory, now: datetime, phase: int | None = None
    ) -> Iterator[Job]:
        """The requests that have something to send, of one phase or of all, in order.

        Raises:
            PlanError: See `bodies`.
        """
        if self.file is None:
            return
        for request, body in self.bodies():
            size = self.requests[request]
            if phase not in (None, size.phase):
                continue
            rows = 1 if way.records is None else size.rows
            job = Job(
                sync=self.sync,
                file=self.file,
                request=request,
                body=b"",
                rows=rows,
                weight=size.rows,
                state=history.state(request, rows),
                list_file=self.list_file,
            )
            if positions_to_send(job, way, now):
                yield replace(job, body=body)

    def bodies(self) -> Iterator[tuple[int, bytes]]:
        """Each request's number and its exact body.

        Raises:
            PlanError: The file has more or fewer lines than the plan says.
        """
        if self.file is None:
            return
        request = 0
        with (self.folder / self.file.path).open("rb") as lines:
            for request, line in enumerate(lines, start=1):
                if request not in self.requests:
                    break
                yield request, line.rstrip(b"\n")
        if request != len(self.requests):
            raise PlanError(
                f"{self.folder / self.file.path}: expected {len(self.requests)} requests, one a "
                "line; run `relay plan` for a new plan"
            )

    def unsettled(self, history: SyncHistory) -> int:
        """Rows of the requests that are not settled."""
        states = self.states(history)
        return sum(state.rows for state in states if state.pending or state.unknown)

    def states(self, history: SyncHistory) -> Iterator[RequestState]:
        """How each request stands."""
        for request, size in self.requests.items():
            yield history.state(request, size.rows)


def read_all_outgoing(plan: Plan) -> dict[str, Outgoing]:
    """Every sync of a plan by name.

    Raises:
        PlanError: See `read_outgoing`.
    """
    with duckdb.connect() as connection:
        return {sync.name: read_outgoing(connection, plan, sync) for sync in plan.syncs}


def read_outgoing(connection: DuckDBPyConnection, plan: Plan, sync: PlanSync) -> Outgoing:
    """Find the files of a sync and count its rows by request.

    Raises:
        PlanError: The rows do not fit the requests.
    """
    rows_file = plan.file(sync.name, "rows")
    file = plan.file(sync.name, "requests")
    list_file = plan.file(sync.name, "members_csv") if sync.delivery == "custom_list" else None
    requests = {} if rows_file is None else _sizes(connection, plan.folder / rows_file.path)
    if file is not None and set(requests) != set(range(1, file.requests + 1)):
        raise PlanError(
            f"{plan.plan_id}: the rows of {sync.name} stand in {len(requests)} requests, but "
            f"{file.path} has {file.requests}; run `relay plan` for a new plan"
        )
    return Outgoing(
        sync=sync,
        folder=plan.folder,
        file=file,
        list_file=plan.folder / list_file.path if list_file else None,
        requests=requests,
    )


def _sizes(connection: DuckDBPyConnection, path: Path) -> dict[int, RequestSize]:
    found = connection.execute(
        "select request, count(*), min(phase), count(distinct position), max(position)"
        " from read_parquet(?) group by request order by request",
        [str(path)],
    ).fetchall()
    for request, rows, _, positions, last in found:
        if positions != rows or last != rows - 1:
            raise PlanError(f"{path}: request {request} has positions missing or twice")
    return {request: RequestSize(rows, phase or 2) for request, rows, phase, _, _ in found}
