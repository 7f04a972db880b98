"""`relay load`: what comes in from Amplitude, and a destination's own directory of users."""

import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import click
from duckdb import DuckDBPyConnection

from relay import warehouse
from relay.cli import load_engagement
from relay.cli.command import Outcome, relay_command
from relay.cli.options import INSTANT
from relay.cli.progress import progress
from relay.cli.signals import stopping_on_signals
from relay.errors import ConfigurationError
from relay.load.amplitude_cohorts import load_cohort_file, load_cohorts
from relay.load.amplitude_events import load_event_files, load_events
from relay.load.amplitude_merges import load_merge_files
from relay.load.known_users import DIRECTORIES, load_known_users
from relay.load.result import LoadResult
from relay.load.windows import read_hour
from relay.settings import Settings

PATH = click.Path(path_type=Path)
STOPPED = 130


class Hour(click.ParamType[datetime]):
    """An hour in UTC, `2026-03-01T00` or `20260301T00`."""

    name = "hour"

    def convert(self, value: Any, param: Any, ctx: Any) -> datetime:
        """Parse the text, or end the command with what was expected."""
        if isinstance(value, datetime):
            return value
        try:
            return read_hour(value)
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)


HOUR = Hour()


def register(group: click.Group) -> None:
    """Add `relay load` and its commands to the `relay` group."""

    @group.group("load")
    def load() -> None:
        """Load exports; what is loaded once is not loaded twice."""

    @relay_command(load, "events")
    @click.option("--project", help="The Amplitude project, where the events' own is not to say.")
    @click.option("--from", "start", type=HOUR, help="First hour, UTC; default: what is due.")
    @click.option("--to", "end", type=HOUR, help="Last hour, included.")
    @click.option("--path", "paths", multiple=True, type=PATH, help="Export file, folder, pattern.")
    def events(
        settings: Settings,
        project: str | None,
        start: datetime | None,
        end: datetime | None,
        paths: tuple[Path, ...],
    ) -> Outcome:
        """Load Amplitude's events, from its Export API or from export files.

        Without --path every hour that is safe to read (three hours old) and not read for good:
        backfill_days back the first time, and again while late events may still come. With it
        .zip, .json.gz and .json files as the Export API or a bucket export has them.

        \b
        Example:
            relay load events
            relay load events --from 2026-03-01T00 --to 2026-03-01T23
            relay load events --path exports/
        """
        if paths and (start or end):
            raise ConfigurationError("--from and --to ask the API; a file is loaded whole")

        def run(connection: DuckDBPyConnection, stop: threading.Event) -> LoadResult:
            if paths:
                with progress("files") as shown:
                    return load_event_files(
                        connection, settings, paths, project=project, progress=shown
                    )
            with progress("hours") as shown:
                return load_events(
                    connection,
                    settings,
                    project=project,
                    start=start,
                    end=end,
                    progress=shown,
                    stop=stop,
                )

        return _loaded(settings, "relay load events", run)

    @relay_command(load, "cohorts")
    @click.option("--cohort", "cohort_ids", multiple=True, help="An id; default: of all syncs.")
    @click.option("--path", type=PATH, help="A cohort CSV, instead of the API.")
    @click.option("--cohort-id", help="With --path: Amplitude's id of the cohort.")
    @click.option("--cohort-name", help="With --path: its name.")
    @click.option("--computed-at", type=INSTANT, help="With --path: when Amplitude computed it.")
    @click.option("--size", type=click.IntRange(min=0), help="With --path: its declared size.")
    @click.option("--app-id", type=int, help="With --path: its Amplitude project.")
    @click.option("--accept-snapshot", is_flag=True, help="Take it with another size, too.")
    def cohorts(
        settings: Settings,
        cohort_ids: tuple[str, ...],
        path: Path | None,
        cohort_id: str | None,
        cohort_name: str | None,
        computed_at: datetime | None,
        size: int | None,
        app_id: int | None,
        accept_snapshot: bool,
    ) -> Outcome:
        """Load cohort snapshots; loading one again changes nothing.

        By the API a cohort is downloaded only when Amplitude computed it anew: downloads are a
        monthly budget. Named with --cohort it does not wait for its turn in that budget. What is
        refused for its size is kept, and taken from there with --accept-snapshot.

        \b
        Example:
            relay load cohorts
            relay load cohorts --cohort 1638361188
            relay load cohorts --path cart.csv --cohort-id 1638361188 --cohort-name Cart \\
                --computed-at 2026-03-01T00:00:00Z
        """
        if path is None:
            for value in (cohort_id, cohort_name, computed_at, size, app_id):
                if value is not None:
                    raise ConfigurationError(
                        "--cohort-id, --cohort-name, --computed-at, --size and --app-id go with"
                        " --path; to load by the API name cohorts with --cohort"
                    )

            def run(connection: DuckDBPyConnection, stop: threading.Event) -> LoadResult:
                with progress("cohorts") as shown:
                    return load_cohorts(
                        connection,
                        settings,
                        cohort_ids=cohort_ids or None,
                        accept_snapshot=accept_snapshot,
                        is_paced=not cohort_ids,
                        progress=shown,
                        stop=stop,
                    )

            return _loaded(settings, "relay load cohorts", run)
        if cohort_ids or cohort_id is None or cohort_name is None or computed_at is None:
            raise ConfigurationError(
                "--path needs --cohort-id, --cohort-name and --computed-at, and no --cohort"
            )
        load_file = partial(
            load_cohort_file,
            path=path,
            cohort_id=cohort_id,
            cohort_name=cohort_name,
            computed_at=computed_at,
            size=size,
            app_id=app_id,
            accept_snapshot=accept_snapshot,
        )
        return _loaded(
            settings, "relay load cohorts", lambda connection, _: load_file(connection, settings)
        )

    @relay_command(load, "merges")
    @click.option(
        "--path", "paths", multiple=True, required=True, type=PATH, help="File, folder or pattern."
    )
    def merges(settings: Settings, paths: tuple[Path, ...]) -> Outcome:
        """Load merged Amplitude ids from bucket export files (`-{organisation}_….json.gz`).

        \b
        Example:
            relay load merges --path exports/-100042_2026-03-01_0.json.gz
        """

        def run(connection: DuckDBPyConnection, _: threading.Event) -> LoadResult:
            with progress("files") as shown:
                return load_merge_files(connection, settings, paths, progress=shown)

        return _loaded(settings, "relay load merges", run)

    @relay_command(load, "known-users")
    @click.option("--destination", required=True, type=click.Choice(sorted(DIRECTORIES)))
    @click.option("--path", required=True, type=PATH, help="The directory as CSV with a header.")
    def known_users(settings: Settings, destination: str, path: Path) -> Outcome:
        """Replace what is known of a destination's own users.

        MoEngage: columns uid and moe_anonymous_id. CleverTap: identity and objectId.

        \b
        Example:
            relay load known-users --destination moengage --path users.csv
        """

        def run(connection: DuckDBPyConnection, _: threading.Event) -> LoadResult:
            with progress("files") as shown:
                return load_known_users(connection, settings, destination, path, progress=shown)

        return _loaded(settings, "relay load known-users", run)

    load_engagement.register(load)


def _loaded(
    settings: Settings,
    command: str,
    run: Callable[[DuckDBPyConnection, threading.Event], LoadResult],
) -> Outcome:
    """Run a load under the lock, on an open warehouse, until it ends or a signal ends it."""
    with warehouse.lock(settings.home, command), stopping_on_signals() as stop:
        connection = warehouse.connect(settings)
        try:
            result = run(connection, stop)
        finally:
            connection.close()
        exit_code = STOPPED if stop.is_set() else result.exit_code
    said = [f"{note.name}: {note.reason}" for note in (*result.failures, *result.notes)]
    return Outcome(result.document(), result.line, "\n".join(said), exit_code)
