"""One load of cohorts by the API: what is done about each cohort, and how far it got."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from duckdb import DuckDBPyConnection

from relay import http
from relay.config import ALL_COHORTS
from relay.errors import ConfigurationError, InputFileError, VendorError
from relay.load import landing
from relay.load.amplitude_api import MOST_AT_ONCE
from relay.load.cohort_download import CohortFailedError, Downloader
from relay.load.cohort_list import ListedCohort, ask_for_list
from relay.load.cohort_properties import properties_for
from relay.load.cohort_requests import CohortRequest
from relay.load.cohort_snapshots import (
    ENGINE_MEMORY_BYTES,
    SOURCE,
    Snapshot,
    StoredSnapshot,
    store_snapshot,
)
from relay.load.event_files import frugal, note_file
from relay.load.event_writer import Counts
from relay.load.landing import Landed
from relay.load.progress import NoProgress, Progress
from relay.load.result import LoadResult, Note
from relay.plan.budget import Budget
from relay.settings import Settings

log = structlog.get_logger(__name__)

# By a cohort's id and when its last download that was loaded was asked for.
IsDue = Callable[[str, datetime | None], bool]


@dataclass(frozen=True)
class CohortOutcome:
    """What a load did about one cohort.

    Attributes:
        cohort_id: Which one.
        state: `loaded`, `unchanged`, `paced`, `not_due`, `archived`, `vanished`,
            `not_computed`, `waiting`, `refused` or `failed`.
        name: As Amplitude calls it.
        computed_at: Of the snapshot it is about.
        rows: Members in the file.
        reason: Why, where there is something to say.
        source_file: Below landing/.
    """

    cohort_id: str
    state: str
    name: str | None = None
    computed_at: datetime | None = None
    rows: int = 0
    reason: str | None = None
    source_file: str | None = None

    @property
    def document(self) -> dict[str, Any]:
        """The outcome in the JSON document."""
        return {
            "cohort_id": self.cohort_id,
            "name": self.name,
            "state": self.state,
            "computed_at": self.computed_at and f"{self.computed_at:%Y-%m-%dT%H:%M:%SZ}",
            "rows": self.rows,
            "reason": self.reason,
        }

    @property
    def result(self) -> LoadResult:
        """The outcome as part of a load's result."""
        name = f"cohort {self.cohort_id}"
        notes = (Note(name, self.reason),) if self.reason else ()
        is_failure = self.state in {"failed", "refused", "waiting"}
        return LoadResult(
            SOURCE,
            files=(self.source_file,) if self.source_file else (),
            rows=self.rows,
            loaded=self.rows if self.state == "loaded" else 0,
            duplicates=0 if self.state == "loaded" else self.rows,
            failures=notes if is_failure else (),
            notes=() if is_failure else notes,
        )


def store_as_load(
    connection: DuckDBPyConnection,
    landed: Landed,
    snapshot: Snapshot,
    now: datetime,
    *,
    accepts_any_size: bool,
    source: Path | None = None,
) -> StoredSnapshot:
    """`store_snapshot` as a load of its own, noted in `raw.loaded_files` when it is new."""
    ((load_id,),) = connection.execute("select nextval('raw.load_ids')").fetchall()
    stored = store_snapshot(
        connection,
        landed,
        snapshot,
        now=now,
        load_id=load_id,
        accepts_any_size=accepts_any_size,
        source=source,
    )
    if stored.is_new:
        counts = Counts(stored.rows, stored.rows, 0, 0)
        note_file(
            connection,
            landed,
            landed.sha256,
            "loaded",
            now,
            source=SOURCE,
            counts=counts,
            load_id=load_id,
        )
    return stored


@dataclass(frozen=True)
class Task:
    """A cohort to download, or to go on with."""

    cohort: ListedCohort
    computed_at: datetime
    request_id: str | None = None


@dataclass
class CohortRun:
    """One load by the API.

    Attributes:
        settings: Whose syncs and landing/.
        downloader: Downloads, and keeps the ledger of downloads.
        listed: Amplitude's cohorts by id.
        budget: The month's downloads.
        accepts_any_size: See `load_cohorts`.
        is_paced: See `load_cohorts`.
        is_due: Whether a cohort is to be downloaded, by its id and the time of the download that
            was loaded last; None: whenever it was computed anew.
        progress: Told how far it is.
    """

    settings: Settings
    downloader: Downloader
    listed: Mapping[str, ListedCohort]
    budget: Budget
    accepts_any_size: bool
    is_paced: bool
    is_due: IsDue | None = None
    progress: Progress = field(default_factory=NoProgress)
    asked: int = 0
    last_asked_at: datetime | None = field(default=None)

    def outcomes(self, wanted: Sequence[str]) -> Iterator[CohortOutcome]:
        """What became of each cohort: first those that need no download, then as they come."""
        self.last_asked_at = self.downloader.ledger.last_requested_at()
        tasks: list[Task] = []
        cohorts = list(self._cohorts(wanted))
        self.progress.expect(len(cohorts))
        for cohort in cohorts:
            decided = cohort if isinstance(cohort, CohortOutcome) else self._decide(cohort)
            if isinstance(decided, CohortOutcome):
                yield self._told(decided)
            else:
                tasks.append(decided)
        yield from map(self._told, self._download(tasks))

    def _told(self, outcome: CohortOutcome) -> CohortOutcome:
        self.progress.stored(outcome.rows)
        self.progress.advance(1)
        return outcome

    def _cohorts(self, wanted: Sequence[str]) -> Iterator[ListedCohort | CohortOutcome]:
        """The cohorts that may have a snapshot, longest without one first."""
        everything = ALL_COHORTS in wanted
        ids = set(self.listed) if everything else set()
        ids |= {cohort_id for cohort_id in wanted if cohort_id != ALL_COHORTS}
        for cohort_id in sorted(ids, key=lambda each: (self._newest(each) or _NEVER, each)):
            cohort = self.listed.get(cohort_id)
            if cohort is None:
                yield self._vanished(cohort_id)
            elif cohort.is_archived:
                if cohort_id in wanted:
                    yield _about(cohort, "archived", "is archived in Amplitude; left as it is")
            elif cohort.counts != "User":
                if cohort_id in wanted:
                    reason = f"is a cohort of {cohort.counts}, and only people can be members"
                    yield _about(cohort, "failed", reason)
            elif cohort.computed_at is None:
                yield _about(cohort, "not_computed", "was never computed by Amplitude")
            else:
                yield cohort

    def _vanished(self, cohort_id: str) -> CohortOutcome:
        if self._newest(cohort_id) is not None:
            return CohortOutcome(
                cohort_id,
                "vanished",
                reason="is in Amplitude's list no more (deleted or unpublished);"
                " its last snapshot stays",
            )
        return CohortOutcome(
            cohort_id,
            "failed",
            reason="is not in Amplitude's list; check the id, that the cohort is discoverable"
            " (published), and that the keys are of its project",
        )

    def _decide(self, cohort: ListedCohort) -> CohortOutcome | Task:
        """What to do about a cohort that can be downloaded."""
        ledger = self.downloader.ledger
        computed_at = cohort.computed_at
        assert computed_at is not None  # noqa: S101 - `_cohorts` saw to it
        paid = self._paid_for(cohort)
        if paid is not None:
            return paid
        newest = self._newest(cohort.cohort_id)
        if self._has(cohort.cohort_id, computed_at):
            return _about(cohort, "unchanged")
        refused = ledger.newest(cohort.cohort_id, "refused")
        if refused is not None and refused.computed_at == computed_at:
            if self.accepts_any_size and refused.source_file:
                return self._load_landed(cohort, refused)
            return _about(cohort, "refused", refused.reason)
        if self.is_due is not None and newest is not None:
            last = ledger.last_loaded_at(cohort.cohort_id)
            if not self.is_due(cohort.cohort_id, last):
                return _about(cohort, "not_due", "was computed anew; no sync of it is due yet")
        failures, retry_at = ledger.retry_at(cohort.cohort_id)
        if self.is_paced and retry_at > ledger.now:
            return _about(
                cohort,
                "failed",
                f"{failures} downloads in a row failed; the next try is after"
                f" {retry_at:%Y-%m-%dT%H:%M:%SZ}, or now by"
                f" `relay load cohorts --cohort {cohort.cohort_id}`",
            )
        if self.budget.left - self.asked <= 0:
            return _about(
                cohort,
                "failed",
                f"no downloads left: {self.budget.monthly:,} of {self.budget.monthly:,} are used,"
                f" the next month begins at {self.budget.resets_at:%Y-%m-%dT%H:%M:%SZ}",
            )
        if self.is_paced and newest is not None:
            next_at = self.budget.next_download_at(self.last_asked_at)
            if next_at > self.budget.now:
                return _about(
                    cohort,
                    "paced",
                    f"waits until {next_at:%Y-%m-%dT%H:%M:%SZ}, within the month's downloads",
                )
        self.asked += 1
        self.last_asked_at = self.budget.now
        return Task(cohort, computed_at)

    def _paid_for(self, cohort: ListedCohort) -> CohortOutcome | Task | None:
        """A download of the cohort that was spent and not used to its end."""
        ledger = self.downloader.ledger
        if ledger.is_sending(cohort.cohort_id):
            found = self.downloader.find_request(cohort.cohort_id)
            if found is None:
                ledger.lost(cohort.cohort_id)
            else:
                ledger.requested(cohort.cohort_id, found[0])
        request = ledger.newest(cohort.cohort_id, "requested", "landed")
        if request is None:
            return None
        if request.state == "landed" and request.source_file:
            return self._load_landed(cohort, request)
        return Task(cohort, request.computed_at, request.request_id)

    def _load_landed(self, cohort: ListedCohort, request: CohortRequest) -> CohortOutcome:
        landed = landing.found(self.settings.home, str(request.source_file))
        return self._load(cohort, request.computed_at, request.request_id, landed)

    def _download(self, tasks: Sequence[Task]) -> Iterator[CohortOutcome]:
        """Download in threads, a few at a time, and load each as it lands."""
        if not tasks:
            return
        pool = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="relay-cohort")
        running: dict[Future[tuple[str, Landed]], Task] = {
            pool.submit(self._land, task): task for task in tasks
        }
        try:
            for future in as_completed(running):
                task = running[future]
                try:
                    request_id, landed = future.result()
                except http.StoppedError:
                    yield _about(task.cohort, "waiting", "was stopped; the next run goes on")
                except ConfigurationError:
                    raise
                except VendorError as error:
                    yield _about(task.cohort, "failed", str(error))
                else:
                    yield self._load(task.cohort, task.computed_at, request_id, landed)
        finally:
            self.downloader.api.stop.set()
            pool.shutdown(cancel_futures=True)

    def _land(self, task: Task) -> tuple[str, Landed]:
        """Ask, wait and fetch; runs in a thread."""
        cohort_id = task.cohort.cohort_id
        down = self.downloader
        request_id = task.request_id or down.request(
            cohort_id, task.computed_at, properties_for(self.settings, cohort_id)
        )
        try:
            down.wait_until_complete(request_id)
            landed = down.fetch(cohort_id, task.computed_at, request_id)
        except CohortFailedError as error:
            down.ledger.became(request_id, error.state, reason=str(error))
            raise
        down.ledger.became(request_id, "landed", source_file=landed.source_file)
        return request_id, landed

    def _load(
        self, cohort: ListedCohort, computed_at: datetime, request_id: str, landed: Landed
    ) -> CohortOutcome:
        """Store a file as the snapshot it was asked for as, or refuse it."""
        try:
            listed = ask_for_list(self.downloader.api).get(cohort.cohort_id)
        except VendorError as error:
            return _about(
                cohort, "failed", f"the file is landed, but the list cannot be had: {error}"
            )
        is_same = listed is not None and listed.computed_at == computed_at
        size = listed.size if listed is not None and is_same else None
        snapshot = Snapshot(cohort.cohort_id, cohort.name, computed_at, cohort.app_id, size)
        try:
            stored = self._store(snapshot, request_id, landed)
        except InputFileError as error:
            try:
                again = self._fetch_again(snapshot, request_id, landed)
                stored = self._store(snapshot, request_id, again)
            except (InputFileError, VendorError):
                # What was wrong at first is what is to be known.
                self.downloader.ledger.became(
                    request_id, "refused", reason=str(error), source_file=landed.source_file
                )
                return replace(_about(cohort, "refused", str(error)), computed_at=computed_at)
            landed = again
        log.info("cohort.loaded", cohort=cohort.cohort_id, rows=stored.rows, is_new=stored.is_new)
        return CohortOutcome(
            cohort.cohort_id,
            "loaded" if stored.is_new else "unchanged",
            cohort.name,
            computed_at,
            stored.rows,
            source_file=landed.source_file,
        )

    def _store(self, snapshot: Snapshot, request_id: str, landed: Landed) -> StoredSnapshot:
        ledger = self.downloader.ledger
        with (
            ledger.lock,
            frugal(ledger.connection, threads=None, memory_bytes=ENGINE_MEMORY_BYTES),
            ledger.writing() as connection,
        ):
            stored = store_as_load(
                connection,
                landed,
                snapshot,
                ledger.now,
                accepts_any_size=self.accepts_any_size,
            )
            ledger.became_within(connection, request_id, "loaded", None, landed.source_file)
        return stored

    def _fetch_again(self, snapshot: Snapshot, request_id: str, landed: Landed) -> Landed:
        """The file of the same request once more, which costs nothing.

        Raises:
            InputFileError: It is the same file.
        """
        again = self.downloader.fetch(snapshot.cohort_id, snapshot.computed_at, request_id)
        if again.sha256 == landed.sha256:
            landing.remove(again)
            raise InputFileError(landed.path, "is the same file again")
        return again

    def _newest(self, cohort_id: str) -> datetime | None:
        """`lastComputed` of the newest snapshot."""
        with self.downloader.ledger.lock:
            ((at,),) = self.downloader.ledger.connection.execute(
                "select max(last_computed) from raw.amplitude_cohort_snapshots where cohort_id = ?",
                [cohort_id],
            ).fetchall()
        return None if at is None else at.replace(tzinfo=UTC)

    def _has(self, cohort_id: str, computed_at: datetime) -> bool:
        """Whether there is a snapshot of this computation or a later one."""
        newest = self._newest(cohort_id)
        return newest is not None and newest >= computed_at


_NEVER = datetime(1, 1, 1, tzinfo=UTC)


def _about(cohort: ListedCohort, state: str, reason: str | None = None) -> CohortOutcome:
    return CohortOutcome(
        cohort.cohort_id, state, cohort.name, computed_at=cohort.computed_at, reason=reason
    )
