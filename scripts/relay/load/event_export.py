"""One load by the Export API: asks for spans of hours, a few at a time, stores each as it comes."""

import itertools
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
import structlog
from duckdb import DuckDBPyConnection

from relay import http
from relay.errors import InputFileError
from relay.load import landing
from relay.load.amplitude_api import MOST_AT_ONCE, AmplitudeApi, UnreachableError
from relay.load.event_calendar import Calendar
from relay.load.event_files import (
    StoredFile,
    content_sha256,
    frugal,
    known_content,
    note_file,
    store_file,
)
from relay.load.event_writer import SOURCE
from relay.load.landing import Landed
from relay.load.progress import Progress
from relay.load.result import LoadResult, Note
from relay.load.windows import Span
from relay.settings import Settings
from relay.warehouse import transaction

log = structlog.get_logger(__name__)

EXPORT = "/api/2/export"
_ARCHIVE = re.compile(r"(\d{8}T\d{2})-(\d{8}T\d{2})\.(\d{8}T\d{6}Z)(-\d+)?\.zip")


@dataclass(frozen=True)
class Fetched:
    """What asking for a span gave: an archive, no data (neither), or a reason why not."""

    span: Span
    read_at: datetime
    landed: Landed | None = None
    failure: str | None = None


def result_of(stored: StoredFile, landed: Landed) -> LoadResult:
    """The counts of one file as a result."""
    counts = stored.counts
    return LoadResult(
        SOURCE,
        files=(landed.source_file,),
        rows=counts.rows,
        loaded=counts.loaded,
        duplicates=counts.duplicates,
        rejected=counts.rejected,
    )


class ExportRun:
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
        self._without_data: dict[Span, datetime] = {}

    @property
    def folder(self) -> str:
        """Where its archives land, below landing/."""
        return f"{SOURCE}/{self.calendar.project}"

    def landed_before(self, due: set[datetime]) -> Iterator[Fetched]:
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
                    yield Fetched(span, read_at, landing.found(self.settings.home, source_file))
                except InputFileError as error:
                    yield Fetched(span, read_at, failure=str(error))

    def fetch_and_store(self, api: AmplitudeApi, spans: list[Span]) -> None:
        """Ask for the spans, a few at a time, and store each as it comes, oldest first."""
        with self._settled(), _pool(api.stop) as pool:
            waiting: list[Future[list[Fetched]]] = []
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

    def _fetch(self, api: AmplitudeApi, span: Span) -> list[Fetched]:
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
            return [Fetched(span, read_at, failure=_explained(span, error))]
        except UnreachableError as error:
            if error.status == 504:
                return [Fetched(span, read_at, failure=str(error))]
            raise
        log.info("span.landed", span=str(span), bytes=landed.size if landed else 0)
        return [Fetched(span, read_at, landed)]

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

    @contextmanager
    def _settled(self) -> Iterator[None]:
        """Note the spans without data at the end of the block, all at once.

        A long backfill has hundreds of them. Of a process that is killed before, they are asked
        for again.
        """
        try:
            yield
        finally:
            if self._without_data:
                with transaction(self.connection):
                    self.calendar.mark_read(self._without_data, {})
                self._without_data.clear()

    def store(self, fetched: Fetched) -> None:
        """Store what came for a span, in one transaction, and note it in the calendar.

        That there is no data is noted when `fetch_and_store` ends.
        """
        self.hours += fetched.span.hours
        try:
            if fetched.failure is not None:
                self._fail(fetched, fetched.failure)
            elif fetched.landed is None:
                self._without_data[fetched.span] = fetched.read_at
            else:
                self._store_archive(fetched, fetched.landed)
        finally:
            self.progress.advance(len(fetched.span.hours))

    def _store_archive(self, fetched: Fetched, landed: Landed) -> None:
        content = content_sha256(landed)
        has_unread = self.calendar.has_unread(fetched.span)
        # Known content still has to be read once for the hours it is to settle.
        stored = None if has_unread else known_content(self.connection, content)
        try:
            with frugal(self.connection), transaction(self.connection):
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
                    {fetched.span: fetched.read_at},
                    stored.hours,
                    landed=landed,
                    load_id=stored.load_id,
                    is_new=stored.is_new,
                )
        except InputFileError as error:
            self._fail(fetched, str(error), content)
            return
        if not is_kept:
            landing.remove(landed)
        self.result += result_of(stored, landed)
        self.progress.stored(stored.counts.rows)
        log.info(
            "span.loaded",
            span=str(fetched.span),
            rows=stored.counts.rows,
            loaded=stored.counts.loaded,
            duplicates=stored.counts.duplicates,
            rejected=stored.counts.rejected,
        )

    def _fail(self, fetched: Fetched, reason: str, content: str = "") -> None:
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


@contextmanager
def _pool(stop: threading.Event) -> Iterator[ThreadPoolExecutor]:
    """Threads for requests; when the block is left, what still runs is stopped."""
    pool = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="relay-export")
    try:
        yield pool
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
