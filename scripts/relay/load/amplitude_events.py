"""Amplitude's events, by the Export API or from export files.

Every archive is landed as it came and read from there, each span of hours in one transaction: a
kill at any point leaves it loaded or not loaded, and what had landed is not asked for again.
"""

import itertools
import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import httpx
import structlog
from duckdb import DuckDBPyConnection

from relay import http
from relay.errors import ConfigurationError, InputFileError
from relay.load import landing
from relay.load.amplitude_api import MOST_AT_ONCE, POLICY, AmplitudeApi, UnreachableError
from relay.load.event_calendar import Calendar
from relay.load.event_files import StoredFile, content_sha256, known_content, note_file, store_file
from relay.load.event_writer import SOURCE
from relay.load.landing import Landed
from relay.load.members import natural_order
from relay.load.result import LoadResult, Note, Window
from relay.load.windows import Span, between, hour_of, newest_safe, spans_of
from relay.settings import Settings
from relay.warehouse import transaction

log = structlog.get_logger(__name__)

EXPORT = "/api/2/export"
EXPORT_SUFFIXES = (".zip", ".json.gz", ".gz", ".json")
# Bucket exports of merged ids: `-{organisation}_….json.gz`.
MERGES_NAME = re.compile(r"-\d+_.*\.json(\.gz)?")
_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ARCHIVE = re.compile(r"(\d{8}T\d{2})-(\d{8}T\d{2})\.(\d{8}T\d{6}Z)(-\d+)?\.zip")


class Progress(Protocol):
    """Told how far a load is; see `relay.cli.progress`."""

    def expect(self, hours: int) -> None:
        """So many hours (or files) are to be loaded."""

    def advance(self, hours: int) -> None:
        """So many of them are done, well or not."""

    def received(self, size: int) -> None:
        """So many bytes came."""

    def stored(self, rows: int) -> None:
        """So many lines were read."""


class NoProgress:
    """Tells nobody."""

    def expect(self, hours: int) -> None:
        """See `Progress`."""

    def advance(self, hours: int) -> None:
        """See `Progress`."""

    def received(self, size: int) -> None:
        """See `Progress`."""

    def stored(self, rows: int) -> None:
        """See `Progress`."""


@dataclass(frozen=True)
class _Fetched:
    """What asking for a span gave: an archive, no data (neither), or a reason why not."""

    span: Span
    read_at: datetime
    landed: Landed | None = None
    failure: str | None = None


def load_events(
    connection: DuckDBPyConnection,
    settings: Settings,
    *,
    project: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    progress: Progress | None = None,
    policy: http.RetryPolicy = POLICY,
    stop: threading.Event | None = None,
) -> LoadResult:
    """Load events by the Export API: every safe hour that is not read for good.

    Without `start` and `end` these are the hours from `backfill_days` ago (as of the first load) to
    the newest safe one; each is read again until it was read once `lookback_hours` after it became
    safe. With them, the hours between, both included, whether they were loaded before or not.

    Args:
        connection: Open warehouse with the raw tables; the caller holds the lock.
        settings: Whose keys, region, landing/ and clock.
        project: Name of the Amplitude project; kept with each event. Default: the configured one,
            and each event's `app` says where it is from.
        start: First hour, with a time zone.
        end: Last hour, included.
        progress: Told how far it is.
        policy: Retries of requests.
        stop: Ends waits and downloads when set.

    Returns:
        The counts and the hours. A span whose bytes are damaged, and an hour that is too large, is
        a failure by name and nothing of it is stored; the others are. When Amplitude cannot be
        reached the rest stays pending.

    Raises:
        ConfigurationError: Keys are missing or refused, or `start` is after `end`.

    Source:
        Amplitude, Export API.
    """
    now = settings.now()
    name = _checked_project(project or settings.config.amplitude.project)
    lookback = timedelta(hours=settings.config.amplitude.lookback_hours)
    calendar = Calendar(connection, name, now, lookback)
    due, pending = _hours_to_do(calendar, settings, start, end)
    run = _Run(connection, settings, calendar, project, progress or NoProgress())
    run.progress.expect(len(due))
    for fetched in run.landed_before(set(due)):
        run.store(fetched)
        due = [hour for hour in due if hour not in set(fetched.span.hours)]
    if due:
        with AmplitudeApi(settings, policy, http.LinkedStop(stop)) as api:
            run.fetch_and_store(api, list(spans_of(due)))
    return replace(run.result, windows=calendar.windows([*run.hours, *due, *pending]))


def load_event_files(
    connection: DuckDBPyConnection,
    settings: Settings,
    paths: Sequence[Path],
    *,
    project: str | None = None,
    progress: Progress | None = None,
) -> LoadResult:
    """Load events from export files: `.zip`, `.json.gz`, `.json`, or folders of them.

    Args:
        connection: Open warehouse with the raw tables; the caller holds the lock.
        settings: Whose landing/ and clock.
        paths: Files and folders. A file that was loaded before changes nothing.
        project: Name of the Amplitude project, where the events' own `app` is not to say it.
        progress: Told how far it is.

    Returns:
        The counts; each file is stored as a whole or, with a failure by name, not at all.

    Raises:
        InputFileError: A path does not exist, or a folder has no export file.
    """
    if project is not None:
        _checked_project(project)
    progress = progress or NoProgress()
    files, notes = export_files(paths)
    result = LoadResult(SOURCE, notes=tuple(notes))
    progress.expect(len(files))
    hours: dict[datetime, int] = {}
    for path in files:
        try:
            landed = landing.land_file(settings.home, SOURCE, path)
            progress.received(landed.size)
            stored = _store_by_hand(connection, settings, landed, project)
        except InputFileError as error:
            log.warning("file.refused", source=SOURCE, file=path.name)
            result += LoadResult(SOURCE, failures=(Note(str(path), str(error)),))
        else:
            result += _result_of(stored, landed)
            hours |= stored.hours
            progress.stored(stored.counts.rows)
        progress.advance(1)
    return replace(result, windows=tuple(Window(hour, "loaded") for hour in sorted(hours)))


def export_files(paths: Sequence[Path]) -> tuple[list[Path], list[Note]]:
    """The export files among paths and in folders, by name, hours in their order.

    Raises:
        InputFileError: A path does not exist, or a folder has no export file.
    """
    files: list[Path] = []
    notes: list[Note] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        inside = [
            file
            for file in path.rglob("*")
            if file.is_file() and file.name.endswith(EXPORT_SUFFIXES)
        ]
        if not inside:
            raise InputFileError(path, f"no {', '.join(EXPORT_SUFFIXES)} file in this folder")
        files += sorted(inside, key=lambda file: natural_order(str(file)))
    merges = [file for file in files if MERGES_NAME.fullmatch(file.name)]
    notes += [
        Note(str(file), "holds merged ids, not events; use `relay load merges --path`")
        for file in merges
    ]
    events = [file for file in dict.fromkeys(files) if file not in merges]
    return events, notes


def _store_by_hand(
    connection: DuckDBPyConnection, settings: Settings, landed: Landed, project: str | None
) -> StoredFile:
    content = content_sha256(landed)
    known = known_content(connection, content)
    if known is not None:
        return known
    now = settings.now()
    with transaction(connection):
        stored = store_file(connection, landed, now=now, project=project)
        note_file(
            connection,
            landed,
            content,
            "loaded",
            now,
            counts=stored.counts,
            load_id=stored.load_id,
        )
    return stored


def _result_of(stored: StoredFile, landed: Landed) -> LoadResult:
    counts = stored.counts
    return LoadResult(
        SOURCE,
        files=(landed.source_file,),
        rows=counts.rows,
        loaded=counts.loaded,
        duplicates=counts.duplicates,
        rejected=counts.rejected,
    )


def _hours_to_do(
    calendar: Calendar, settings: Settings, start: datetime | None, end: datetime | None
) -> tuple[list[datetime], list[datetime]]:
    """The hours to load, and those that are wanted too but not safe yet; both are noted."""
    now = calendar.now
    is_continuous = start is None and end is None
    first = hour_of(start) if start else calendar.start(settings.config.amplitude.backfill_days)
    last = hour_of(end) if end else hour_of(now)
    if first > last:
        raise ConfigurationError(
            f"--from {first:%Y-%m-%dT%H} is after --to {last:%Y-%m-%dT%H}; expected it before"
        )
    pending = calendar.not_safe(first, last)
    due = calendar.due(first) if is_continuous else between(first, min(last, newest_safe(now)))
    with transaction(calendar.connection):
        if is_continuous:
            calendar.keep_start(first)
        calendar.mark_pending([*due, *pending])
    return due, pending


class _Run:
    """One load by the API: what it shares between its spans."""

    def __init__(
        self,
        connection: DuckDBPyConnection,
        settings: Settings,
        calendar: Calendar,
        project: str | None,
        progress: Progress,
    ) -> None:
        self.connection = connection
        self.settings = settings
        self.calendar = calendar
        self.project = project
        self.progress = progress
        self.result = LoadResult(SOURCE)
        self.hours: list[datetime] = []

    @property
    def folder(self) -> str:
        return f"{SOURCE}/{self.calendar.project}"

    def landed_before(self, due: set[datetime]) -> Iterator[_Fetched]:
        """Archives that a run landed and did not get to load."""
        known = {
            source_file
            for (source_file,) in self.connection.execute(
                "select source_file from raw.loaded_files where source = ?", [SOURCE]
            ).fetchall()
        }
        folder = self.settings.home.landing / self.folder
        for path in sorted(folder.glob("*.zip")):
            named = _ARCHIVE.fullmatch(path.name)
            source_file = f"{self.folder}/{path.name}"
            if named is None or source_file in known:
                continue
            first, last = (
                datetime.strptime(named[n], "%Y%m%dT%H").replace(tzinfo=UTC) for n in (1, 2)
            )
            read_at = datetime.strptime(named[3], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            span = Span(first, last)
            if not due.isdisjoint(span.hours):
                log.info("span.found", span=str(span))
                try:
                    yield _Fetched(span, read_at, landing.found(self.settings.home, source_file))
                except InputFileError as error:
                    yield _Fetched(span, read_at, failure=str(error))

    def fetch_and_store(self, api: AmplitudeApi, spans: list[Span]) -> None:
        """Ask for the spans, a few at a time, and store each as it comes, oldest first."""
        with _pool(api.stop) as pool:
            waiting: list[Future[list[_Fetched]]] = []
            todo = iter(spans)

            def ask() -> None:
                span = next(todo, None)
                if span is not None:
                    waiting.append(pool.submit(self._fetch, api, span))

            for _ in range(MOST_AT_ONCE):
                ask()
            while waiting:
                try:
                    fetched = waiting.pop(0).result()
                except UnreachableError as error:
                    self.result += LoadResult(SOURCE, failures=(Note("amplitude", str(error)),))
                    return
                except http.StoppedError:
                    log.info("load.stopped", source=SOURCE)
                    return
                ask()
                for part in fetched:
                    self.store(part)

    def _fetch(self, api: AmplitudeApi, span: Span) -> list[_Fetched]:
        """Ask for a span, and for its halves where it is too much; runs in a thread."""
        read_at = self.settings.now()
        params = {"start": f"{span.start:%Y%m%dT%H}", "end": f"{span.end:%Y%m%dT%H}"}
        name = self._free_name(f"{params['start']}-{params['end']}.{read_at:%Y%m%dT%H%M%SZ}")

        def land(response: httpx.Response) -> Landed | None:
            if response.status_code == 404:
                return None
            return landing.land(self.settings.home, name, self._counted(api.pieces(response)))

        is_hour = span.start == span.end
        try:
            landed = api.call(
                EXPORT,
                land,
                params=params,
                expected=(200, 404),
                gives_up_on=() if is_hour else (504,),
            )
        except http.StatusError as error:
            if error.status in {400, 504} and not is_hour:
                log.info("span.halved", span=str(span), status=error.status)
                older, newer = span.halves()
                return [*self._fetch(api, older), *self._fetch(api, newer)]
            return [_Fetched(span, read_at, failure=_explained(span, error))]
        except UnreachableError as error:
            if error.status == 504:
                return [_Fetched(span, read_at, failure=str(error))]
            raise
        log.info("span.landed", span=str(span), bytes=landed.size if landed else 0)
        return [_Fetched(span, read_at, landed)]

    def _free_name(self, name: str) -> str:
        """A path below landing/ that nothing has yet: what landed is never written over."""
        for number in itertools.count(1):
            source_file = f"{self.folder}/{name}{f'-{number}' if number > 1 else ''}.zip"
            if not (self.settings.home.landing / source_file).exists():
                return source_file
        raise AssertionError

    def _counted(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self.progress.received(len(piece))
            yield piece

    def store(self, fetched: _Fetched) -> None:
        """Store what came for a span, in one transaction, and note it in the calendar."""
        self.hours += fetched.span.hours
        try:
            if fetched.failure is not None:
                self._fail(fetched, fetched.failure)
            elif fetched.landed is None:
                with transaction(self.connection):
                    self.calendar.mark_read(fetched.span, {}, read_at=fetched.read_at)
            else:
                self._store_archive(fetched, fetched.landed)
        finally:
            self.progress.advance(len(fetched.span.hours))

    def _store_archive(self, fetched: _Fetched, landed: Landed) -> None:
        content = content_sha256(landed)
        has_unread = self.calendar.has_unread(fetched.span)
        # Known content still has to be read once for the hours it is to settle.
        stored = None if has_unread else known_content(self.connection, content)
        try:
            with transaction(self.connection):
                if stored is None:
                    stored = store_file(
                        self.connection, landed, now=self.calendar.now, project=self.project
                    )
                is_kept = stored.is_new or has_unread
                if is_kept:
                    note_file(
                        self.connection,
                        landed,
                        content,
                        "loaded",
                        self.calendar.now,
                        counts=stored.counts,
                        load_id=stored.load_id,
                    )
                self.calendar.mark_read(
                    fetched.span,
                    stored.hours,
                    read_at=fetched.read_at,
                    landed=landed,
                    load_id=stored.load_id,
                    is_new=stored.is_new,
                )
        except InputFileError as error:
            self._fail(fetched, str(error), content)
            return
        if not is_kept:
            landing.remove(landed)
        self.result += _result_of(stored, landed)
        self.progress.stored(stored.counts.rows)
        log.info(
            "span.loaded",
            span=str(fetched.span),
            rows=stored.counts.rows,
            loaded=stored.counts.loaded,
            duplicates=stored.counts.duplicates,
            rejected=stored.counts.rejected,
        )

    def _fail(self, fetched: _Fetched, reason: str, content: str = "") -> None:
        with transaction(self.connection):
            self.calendar.mark_failed(fetched.span, reason, fetched.landed)
            if fetched.landed is not None:
                note_file(
                    self.connection,
                    fetched.landed,
                    content,
                    "refused",
                    self.calendar.now,
                    reason=reason,
                )
        log.warning("span.refused", span=str(fetched.span))
        self.result += LoadResult(SOURCE, failures=(Note(str(fetched.span), reason),))


def _explained(span: Span, error: http.StatusError) -> str:
    if error.status == 400:
        return (
            f"Amplitude cannot export this hour ({error}): it is said to be larger than 4 GB; "
            "load it from a bucket export with `relay load events --path`"
        )
    return f"Amplitude answered {error} for {span}; run the command again later"


def _checked_project(name: str) -> str:
    if not _PROJECT.fullmatch(name):
        raise ConfigurationError(
            f"project {name!r}: expected letters, digits, `.`, `_` and `-`, a letter or digit first"
        )
    return name


@contextmanager
def _pool(stop: threading.Event) -> Iterator[ThreadPoolExecutor]:
    """Threads for requests; when the block is left, what still runs is stopped."""
    pool = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="relay-export")
    try:
        yield pool
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
