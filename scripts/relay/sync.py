"""`relay sync`: load, plan and apply what is due, in one go and under one lock."""

import threading
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from relay import warehouse
from relay.apply.commands import apply_sealed
from relay.apply.run import ApplyResult
from relay.load.amplitude_cohorts import load_cohorts
from relay.load.amplitude_events import load_events
from relay.load.engagement import load_moengage_events
from relay.load.result import LoadResult
from relay.plan.dbt import read_project_ahead
from relay.plan.make import PlanOutcome, PlanRequest, make_plan
from relay.plan.schedule import is_download_due
from relay.rehearsal.home import refuse_over_rehearsal
from relay.settings import Settings


@dataclass(frozen=True)
class SyncOutcome:
    """What one run loaded, planned and sent."""

    loads: tuple[LoadResult, ...]
    plan: PlanOutcome
    applied: ApplyResult | None

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document of `relay sync`: that of `apply`, and what came before it."""
        applied = self.applied.document if self.applied else {"plan_id": None, "syncs": []}
        return {
            **applied,
            "loads": [load.document() for load in self.loads],
            "plan": self.plan.document,
        }

    @property
    def exit_code(self) -> int:
        """1: a load failed in part; 3: something is held; 4: rejected or unknown rows."""
        codes = {load.exit_code for load in self.loads}
        if self.applied is not None:
            codes.add(self.applied.exit_code)
        if self.plan.is_held:
            codes.add(3)
        return next((code for code in (130, 2, 1, 3, 4) if code in codes), 0)


def sync(settings: Settings, request: PlanRequest, stop: threading.Event) -> SyncOutcome:
    """Load what Amplitude has, plan what is due and send what nothing holds, under one lock.

    A load that fails in part is reported and stops nothing else: what it did not bring keeps its
    last snapshot, and a missing snapshot removes nobody.

    Args:
        settings: Where and as whom.
        request: As for `relay plan`.
        stop: Set to end cleanly after what is in flight.

    Raises:
        LockedError: Another process holds the lock.
        ConfigurationError: The home holds a rehearsal and a vendor's address is real, or the
            configuration cannot be right.
    """
    refuse_over_rehearsal(settings)
    with warehouse.lock(settings.home, "relay sync"):
        read_project_ahead(settings)
        loads = load(settings, request.syncs, stop)
        outcome = make_plan(settings, request)
        applied = None
        if outcome.plan is not None and not stop.is_set():
            applied = apply_sealed(settings, outcome.plan.plan_id, stop=stop)
        else:
            warehouse.publish_news(settings.home)
    return SyncOutcome(loads, outcome, applied)


def load(
    settings: Settings, named: Collection[str], stop: threading.Event
) -> tuple[LoadResult, ...]:
    """Events to the safe horizon, due cohorts that were computed anew, and landed Streams."""

    def is_due(cohort_id: str, last: datetime | None) -> bool:
        syncs = settings.config.cohort_syncs
        return is_download_due(syncs, cohort_id, last, now=settings.now(), named=named)

    with warehouse.connect(settings) as connection:
        results = [
            load_events(connection, settings, stop=stop),
            load_cohorts(connection, settings, is_due=is_due, stop=stop),
        ]
        if any(export.source == "moengage" for export in settings.config.event_exports):
            results.append(load_moengage_events(connection, settings))
    return tuple(results)
