"""How exports stand: their status, from the definition, sealed plans and the ledger."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal

from duckdb import DuckDBPyConnection

from relay.config import EventExport
from relay.plan.schedule import is_due
from relay.settings import Settings

Status = Literal["PENDING", "RUNNING", "DONE", "STOPPED"]
STATUSES: tuple[Status, ...] = ("PENDING", "RUNNING", "DONE", "STOPPED")
TYPE = "events"
FORMAT = "json"

_RUNS = """
    with outcomes as (
        select
            sync_name,
            count(*) filter (where outcome = 'delivered') as delivered,
            count(*) filter (where outcome = 'rejected') as rejected,
            count(*) filter (where outcome = 'unknown') as unknown,
            count(*) filter (where outcome in ('pending', 'held')) as pending
        from ledger.row_outcomes
        where sync_kind = 'event_export'
        group by sync_name
    )
    select
        syncs.sync_name,
        syncs.last_run_at,
        syncs.last_plan_id,
        coalesce(outcomes.delivered, 0),
        coalesce(outcomes.rejected, 0),
        coalesce(outcomes.unknown, 0),
        coalesce(outcomes.pending, 0)
    from ledger.syncs as syncs
    left join outcomes on syncs.sync_name = outcomes.sync_name
"""


@dataclass(frozen=True)
class Runs:
    """What plans and ledger say of an export.

    Attributes:
        last_run_at: When it last sent something or looked and found nothing; UTC.
        last_plan_id: The last plan that has it.
        delivered, rejected, unknown, pending: Events by what came of them, over all its plans.
    """

    last_run_at: datetime | None = None
    last_plan_id: str | None = None
    delivered: int = 0
    rejected: int = 0
    unknown: int = 0
    pending: int = 0


@dataclass(frozen=True)
class ExportState:
    """An export as it stands."""

    export: EventExport
    status: Status
    runs: Runs
    next_run_at: datetime | None

    @property
    def document(self) -> dict[str, Any]:
        """Its row in the document of `relay exports list`."""
        return {
            "name": self.export.name,
            "partner": self.export.source,
            "type": TYPE,
            "format": FORMAT,
            "status": self.status,
            "frequency": self.export.frequency,
            "created_at": _text(self.export.created_at),
            "last_run_at": _text(self.runs.last_run_at),
            "next_run_at": _text(self.next_run_at),
        }


@dataclass(frozen=True)
class Filter:
    """Which exports a list shows; None lets every one in.

    `first` and `last` are days (UTC) of the last run, as the page's filter by export date.
    """

    partner: str | None = None
    type: str | None = None
    format: str | None = None
    status: str | None = None
    frequency: str | None = None
    first: date | None = None
    last: date | None = None

    def matches(self, state: ExportState) -> bool:
        """Whether an export is shown."""
        row = state.document
        asked = {
            "partner": self.partner,
            "type": self.type,
            "format": self.format,
            "status": self.status,
            "frequency": self.frequency,
        }
        if any(value is not None and row[key] != value for key, value in asked.items()):
            return False
        if self.first is None and self.last is None:
            return True
        ran = state.runs.last_run_at
        return (
            ran is not None
            and (self.first is None or ran.date() >= self.first)
            and (self.last is None or ran.date() <= self.last)
        )


def states_of(settings: Settings, runs: dict[str, Runs]) -> list[ExportState]:
    """Every export of syncs.yml, in the order of the file."""
    return [_state_of(export, settings, runs) for export in settings.config.event_exports]


def read_runs(connection: DuckDBPyConnection) -> dict[str, Runs]:
    """What plans and ledger say, by name; from the analysts' copy or the warehouse, built."""
    return {
        name: Runs(None if ran is None else ran.replace(tzinfo=UTC), *rest)
        for name, ran, *rest in connection.execute(_RUNS).fetchall()
    }


def page_of(states: Iterable[ExportState], page: int, size: int) -> Iterator[ExportState]:
    """One page of a list, the first one being 1; empty behind the last."""
    yield from list(states)[(page - 1) * size : page * size]


def status_of(export: EventExport, runs: Runs) -> Status:
    """The status of an export.

    STOPPED is what is not enabled; RUNNING what has events on their way (or streams); DONE a
    one-time export whose events have all ended; PENDING what waits for its first or its next run.

    Source:
        CleverTap, Amplitude Export: Create New Export, Stop Export, Edit an Export.
    """
    if not export.enabled:
        return "STOPPED"
    if runs.pending or runs.unknown:
        return "RUNNING"
    if export.frequency == "one_time":
        return "DONE" if runs.last_run_at else "PENDING"
    if export.frequency == "streaming" and runs.last_run_at:
        return "RUNNING"
    return "PENDING"


def _state_of(export: EventExport, settings: Settings, runs: dict[str, Runs]) -> ExportState:
    known = runs.get(export.name, Runs())
    now = settings.now()
    due = is_due(export, last_run=known.last_run_at, now=now, zone=settings.zone_of(export))
    status = status_of(export, known)
    next_run_at = now if due.is_due else due.next_run_at
    return ExportState(
        export, status, known, None if status in {"DONE", "STOPPED"} else next_run_at
    )


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
