"""Amplitude's events, by the Export API or from export files.

Every archive is landed as it came and read from there, each span of hours in one transaction: a
kill at any point leaves it loaded or not loaded, and what had landed is not asked for again.
"""

import re
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from duckdb import DuckDBPyConnection

from relay import http
from relay.errors import ConfigurationError, InputFileError
from relay.load import landing
from relay.load.amplitude_api import AmplitudeApi, policy_for
from relay.load.event_calendar import Calendar
from relay.load.event_export import ExportRun, result_of
from relay.load.event_files import (
    StoredFile,
    content_sha256,
    frugal,
    known_content,
    note_file,
    store_file,
)
from relay.load.event_writer import SOURCE
from relay.load.export_files import export_files, is_event_file, is_merge_file
from relay.load.landing import Landed
from relay.load.progress import NoProgress, Progress
from relay.load.result import LoadResult, Note, Window
from relay.load.windows import between, hour_of, newest_safe, spans_of
from relay.settings import Settings
from relay.warehouse import transaction

log = structlog.get_logger(__name__)

_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def load_events(
    connection: DuckDBPyConnection,
    settings: Settings,
    *,
    project: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    progress: Progress | None = None,
    policy: http.RetryPolicy | None = None,
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
        policy: Retries of requests; default `amplitude_api.policy_for`.
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
    landing.sweep(settings.home, SOURCE)
    now = settings.now()
    name = _checked_project(project or settings.config.amplitude.project)
    lookback = timedelta(hours=settings.config.amplitude.lookback_hours)
    calendar = Calendar(connection, name, now, lookback)
    due, pending = _hours_to_do(calendar, settings, start, end)
    run = ExportRun(connection, settings, calendar, project, progress or NoProgress())
    run.progress.expect(len(due))
    for fetched in run.landed_before(set(due)):
        run.store(fetched)
        due = [hour for hour in due if hour not in set(fetched.span.hours)]
    if due:
        with AmplitudeApi(settings, policy or policy_for(settings), http.LinkedStop(stop)) as api:
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
        paths: Files, folders and patterns; of folders the files of events. A file that was loaded
            before changes nothing.
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
    landing.sweep(settings.home, SOURCE)
    files = export_files(paths, takes=is_event_file)
    result = LoadResult(SOURCE)
    progress.expect(len(files))
    hours: dict[datetime, int] = {}
    for path in files:
        if is_merge_file(path):
            problem = "holds merged ids, not events; load it with `relay load merges --path`"
            result += LoadResult(SOURCE, failures=(Note(str(path), problem),))
            continue
        try:
            landed = landing.land_file(settings.home, SOURCE, path)
            progress.received(landed.size)
            stored = _store_by_hand(connection, settings, landed, project)
        except InputFileError as error:
            log.warning("file.refused", source=SOURCE, file=path.name)
            result += LoadResult(SOURCE, failures=(Note(str(path), str(error)),))
        else:
            result += result_of(stored, landed)
            hours |= stored.hours
            progress.stored(stored.counts.rows)
        progress.advance(1)
    return replace(result, windows=tuple(Window(hour, "loaded") for hour in sorted(hours)))


def _store_by_hand(
    connection: DuckDBPyConnection, settings: Settings, landed: Landed, project: str | None
) -> StoredFile:
    content = content_sha256(landed)
    known = known_content(connection, content)
    if known is not None:
        return known
    now = settings.now()
    with frugal(connection), transaction(connection):
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


def _checked_project(name: str) -> str:
    if not _PROJECT.fullmatch(name):
        raise ConfigurationError(
            f"project {name!r}: expected letters, digits, `.`, `_` and `-`, a letter or digit first"
        )
    return name
