"""`relay load moengage-events` and `relay load clevertap-events`."""

from datetime import date
from pathlib import Path

import click

from relay import warehouse
from relay.cli.command import Outcome, relay_command
from relay.errors import ConfigurationError
from relay.load.clevertap_api import load_clevertap_events
from relay.load.engagement import load_clevertap_files, load_moengage_events
from relay.load.result import LoadResult
from relay.settings import Settings

PATH = click.Path(path_type=Path)
DAY = click.DateTime(formats=["%Y-%m-%d", "%Y%m%d"])


def register(load: click.Group) -> None:
    """Add the two commands to `relay load`."""

    @relay_command(load, "moengage-events")
    @click.option("--path", "paths", multiple=True, type=PATH, help="File, folder or pattern.")
    def moengage_events(settings: Settings, paths: tuple[Path, ...]) -> Outcome:
        """Load MoEngage's events: Streams bodies and S3 or GCS export files, each event once.

        Without --path, what `relay receive moengage` has landed since the last time.

        \b
        Example:
            relay load moengage-events --path 'exports/event_exports_*.json.gz'
        """
        with warehouse.lock(settings.home, "relay load moengage-events"):
            connection = warehouse.connect(settings)
            try:
                return _outcome(load_moengage_events(connection, settings, paths))
            finally:
                connection.close()

    @relay_command(load, "clevertap-events")
    @click.option("--path", "paths", multiple=True, type=PATH, help="File, folder or pattern.")
    @click.option("--event", "events", multiple=True, help="Event to read from the events API.")
    @click.option("--from", "first", type=DAY, help="First day, in CLEVERTAP_TIMEZONE.")
    @click.option("--to", "last", type=DAY, help="Last day, inclusive.")
    def clevertap_events(
        settings: Settings,
        paths: tuple[Path, ...],
        events: tuple[str, ...],
        first: date | None,
        last: date | None,
    ) -> Outcome:
        """Load CleverTap's events, from export files or from the events API.

        Engagement events come by file only: the API refuses them. The API's days are read whole and
        replace what an earlier reading gave.

        \b
        Example:
            relay load clevertap-events --path exports/
            relay load clevertap-events --event Charged --from 2026-03-01 --to 2026-03-02
        """
        _check_clevertap_options(paths, events, first, last)
        with warehouse.lock(settings.home, "relay load clevertap-events"):
            connection = warehouse.connect(settings)
            try:
                if paths:
                    return _outcome(load_clevertap_files(connection, settings, paths))
                return _outcome(
                    load_clevertap_events(
                        connection, settings, events, first=_day(first), last=_day(last)
                    )
                )
            finally:
                connection.close()


def _check_clevertap_options(
    paths: tuple[Path, ...], events: tuple[str, ...], first: date | None, last: date | None
) -> None:
    if bool(paths) == bool(events):
        raise ConfigurationError("give either --path, or --event with --from and --to")
    if events and (first is None or last is None):
        raise ConfigurationError("--event needs --from and --to, the first and the last day")
    if paths and (first is not None or last is not None):
        raise ConfigurationError("--from and --to go with --event; a file is loaded whole")
    if first is not None and last is not None and last < first:
        raise ConfigurationError(f"--to {_day(last)} is before --from {_day(first)}")


def _day(given: date | None) -> date:
    """The plain day of what click reads as midnight."""
    if given is None:
        raise TypeError("the options were checked: there is a day")
    return date(given.year, given.month, given.day)


def _outcome(result: LoadResult) -> Outcome:
    said = [f"{note.name}: {note.reason}" for note in (*result.failures, *result.notes)]
    return Outcome(result.document(), result.line, "\n".join(said), result.exit_code)
