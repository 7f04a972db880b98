"""Amplitude's cohorts as snapshots, by the Behavioral Cohorts API or from a CSV file.

Downloads are a budget: one is spent only for a cohort whose `lastComputed` has moved, and what is
spent is used to the end: a killed run polls the same request, a damaged file is fetched again from
the same request, a refused one is kept and can be taken with `accept_snapshot`.
"""

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from duckdb import DuckDBPyConnection

from relay import http
from relay.errors import ConfigurationError
from relay.load import landing
from relay.load.amplitude_api import AmplitudeApi, policy_for
from relay.load.cohort_download import Downloader, poll_pause
from relay.load.cohort_list import ask_for_list, keep_list
from relay.load.cohort_requests import RequestLedger
from relay.load.cohort_run import CohortOutcome, CohortRun, IsDue, store_as_load
from relay.load.cohort_snapshots import ENGINE_MEMORY_BYTES, SOURCE, Snapshot, StoredSnapshot
from relay.load.event_files import frugal
from relay.load.progress import NoProgress, Progress
from relay.load.result import LoadResult
from relay.plan.budget import read_budget
from relay.settings import Settings
from relay.warehouse import transaction


def load_cohorts(
    connection: DuckDBPyConnection,
    settings: Settings,
    *,
    cohort_ids: Sequence[str] | None = None,
    accept_snapshot: bool = False,
    is_paced: bool = True,
    is_due: IsDue | None = None,
    progress: Progress | None = None,
    policy: http.RetryPolicy | None = None,
    stop: threading.Event | None = None,
) -> LoadResult:
    """Load a snapshot of each cohort that Amplitude computed anew.

    Args:
        connection: Open warehouse with the raw tables; the caller holds the lock.
        settings: Whose keys, syncs, landing/ and clock.
        cohort_ids: Amplitude's ids; default those of the enabled cohort syncs, `all` being every
            published cohort of people.
        accept_snapshot: Take snapshots whose rows are not as many as Amplitude declares.
        is_paced: Space downloads out where the month's are too few for the schedule, and retries
            of those that failed; a cohort's first snapshot never waits for others.
        is_due: Whether a cohort is to be downloaded, by its id and when its last download was asked
            for; a cohort's first snapshot never waits. None: whenever it was computed anew.
        progress: Told how far it is.
        policy: Retries of requests; default `amplitude_api.policy_for`.
        stop: Ends waits and downloads when set.

    Returns:
        Members as rows; `cohorts` in the document has each cohort's state, `budget` the month's
        downloads. A cohort that is refused or fails is a failure by name, the others are loaded.

    Raises:
        BudgetError: Not even one download a day of each cohort fits the month.
        ConfigurationError: Keys are missing or refused.
        VendorError: The list of cohorts cannot be had.
    """
    wanted = _wanted(settings, cohort_ids)
    if not wanted:
        return LoadResult(SOURCE, details={"cohorts": [], "budget": None})
    landing.sweep(settings.home, SOURCE)
    now = settings.now()
    ledger = RequestLedger(connection, now)
    with AmplitudeApi(settings, policy or policy_for(settings), http.LinkedStop(stop)) as api:
        listed = ask_for_list(api)
        keep_list(connection, listed, now)
        budget = read_budget(connection, settings.config, now=now)
        shown = progress or NoProgress()
        downloader = Downloader(settings, api, ledger, poll_pause(settings), shown)
        run = CohortRun(
            settings, downloader, listed, budget, accept_snapshot, is_paced, is_due, shown
        )
        outcomes = sorted(run.outcomes(wanted), key=lambda outcome: outcome.cohort_id)
    result = LoadResult(SOURCE)
    for outcome in outcomes:
        result += outcome.result
    return replace(
        result,
        details={
            "cohorts": [outcome.document for outcome in outcomes],
            "budget": read_budget(connection, settings.config, now=now).document,
        },
    )


def load_cohort_file(
    connection: DuckDBPyConnection,
    settings: Settings,
    path: Path,
    *,
    cohort_id: str,
    cohort_name: str,
    computed_at: datetime,
    size: int | None = None,
    app_id: int | None = None,
    accept_snapshot: bool = False,
) -> LoadResult:
    """Load one cohort CSV as a snapshot, unless that snapshot is there already.

    Args:
        connection: Open warehouse with the raw tables; the caller holds the lock.
        settings: Whose landing/ and clock.
        path: See `cohort_snapshots.store_snapshot`.
        cohort_id: Amplitude's id of the cohort, such as `1638361188`.
        cohort_name: Its name at that time.
        computed_at: When Amplitude computed it, with a time zone.
        size: Members as Amplitude declares them, where known.
        app_id: The Amplitude project, where known.
        accept_snapshot: Take it although its rows are not as many.

    Raises:
        InputFileError: The file is refused; nothing of it is stored.
        ConfigurationError: `computed_at` is in the future.
    """
    now = settings.now()
    if computed_at > now:
        raise ConfigurationError(
            f"--computed-at {computed_at:%Y-%m-%dT%H:%M:%SZ} is in the future; "
            "expected when Amplitude computed the cohort"
        )
    landing.sweep(settings.home, SOURCE)
    landed = landing.land_file(settings.home, SOURCE, path)
    snapshot = Snapshot(cohort_id, cohort_name, computed_at.astimezone(UTC), app_id, size)
    with (
        frugal(connection, threads=None, memory_bytes=ENGINE_MEMORY_BYTES),
        transaction(connection),
    ):
        stored = store_as_load(
            connection, landed, snapshot, now, accepts_any_size=accept_snapshot, source=path
        )
        _keep_cohort_of_file(connection, snapshot, stored, now)
    outcome = CohortOutcome(
        cohort_id,
        "loaded" if stored.is_new else "unchanged",
        cohort_name,
        snapshot.computed_at,
        stored.rows,
        source_file=landed.source_file,
    )
    return replace(outcome.result, details={"cohorts": [outcome.document], "budget": None})


def _wanted(settings: Settings, cohort_ids: Sequence[str] | None) -> list[str]:
    if cohort_ids is not None:
        return list(dict.fromkeys(cohort_ids))
    enabled = [sync.cohort_id for sync in settings.config.cohort_syncs if sync.enabled]
    return list(dict.fromkeys(enabled))


def _keep_cohort_of_file(
    connection: DuckDBPyConnection, snapshot: Snapshot, stored: StoredSnapshot, now: datetime
) -> None:
    """A cohort known by a file only stands in the list too, as its newest snapshot has it."""
    own = {"cohort_id": snapshot.cohort_id, "at": snapshot.last_computed}
    connection.execute(
        "delete from raw.amplitude_cohorts"
        " where cohort_id = $cohort_id and definition is null and last_computed < $at",
        own,
    )
    connection.execute(
        "insert into raw.amplitude_cohorts"
        " (cohort_id, cohort_name, app_id, size, last_computed, listed_at)"
        " select $cohort_id, $name, $app_id, $size, $at, $now where not exists"
        " (from raw.amplitude_cohorts where cohort_id = $cohort_id)",
        own
        | {
            "name": snapshot.cohort_name,
            "app_id": snapshot.app_id,
            "size": stored.rows,
            "now": now.astimezone(UTC).replace(tzinfo=None),
        },
    )
