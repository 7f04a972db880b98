"""`relay exports`: the life of event exports."""

import json
import sys
from datetime import date, datetime
from typing import Any

import click

from relay import warehouse
from relay.cli.command import Outcome, relay_command
from relay.config import EventExport
from relay.errors import ConfigurationError
from relay.exports.changes import NewExport, create, edit, stop
from relay.exports.periods import PERIODS, days_of
from relay.exports.states import (
    FORMAT,
    STATUSES,
    TYPE,
    ExportState,
    Filter,
    Runs,
    page_of,
    read_runs,
    states_of,
)
from relay.report.tables import table
from relay.settings import Settings

DAY = click.DateTime(formats=["%Y-%m-%d", "%Y%m%d"])
PARTNER = click.Choice(["clevertap", "moengage"])
PAGE_SIZES = ("10", "20", "30", "40")
COLUMNS = ("name", "partner", "status", "frequency", "created_at", "last_run_at", "next_run_at")
EVENTS_HELP = "engagement, all, or the name of an event; names repeat."


def register(group: click.Group) -> None:
    """Add the commands to the `relay` group."""

    @group.group("exports")
    def exports() -> None:
        """Engagement events into Amplitude: the exports, their status and their definition."""

    _register_questions(exports)
    _register_changes(exports)


def _register_questions(exports: click.Group) -> None:
    @relay_command(exports, "list")
    @click.option("--partner", type=PARTNER, help="Only exports of this partner's events.")
    @click.option("--type", "type_", type=click.Choice([TYPE]), help="Only this type of data.")
    @click.option("--format", "format_", type=click.Choice([FORMAT]), help="Only this format.")
    @click.option("--status", type=click.Choice(STATUSES, case_sensitive=False))
    @click.option("--frequency", help="Such as one_time, every_4_hours, streaming.")
    @click.option("--from", "first", type=DAY, help="Last run on this day (UTC) or later.")
    @click.option("--to", "last", type=DAY, help="Last run on this day (UTC) or earlier.")
    @click.option("--period", type=click.Choice(PERIODS), help="Last run in this period (UTC).")
    @click.option("--page", type=click.IntRange(min=1), default=1, show_default=True)
    @click.option("--page-size", type=click.Choice(PAGE_SIZES), default="20", show_default=True)
    def list_exports(
        settings: Settings,
        partner: str | None,
        type_: str | None,
        format_: str | None,
        status: str | None,
        frequency: str | None,
        first: datetime | None,
        last: datetime | None,
        period: str | None,
        page: int,
        page_size: str,
    ) -> Outcome:
        """List exports with their status, a page at a time.

        \b
        Example:
            relay exports list --partner clevertap --status RUNNING --page-size 10
        """
        days = _days(first, last, period, settings.now().date())
        chosen = Filter(partner, type_, format_, status, frequency, *days)
        found = [state for state in _states(settings) if chosen.matches(state)]
        size = int(page_size)
        rows = [state.document for state in page_of(found, page, size)]
        document = {"page": page, "page_size": size, "total": len(found), "exports": rows}
        text = table(COLUMNS, [tuple(row[column] for column in COLUMNS) for row in rows])
        return Outcome(document, f"{len(rows)} of {len(found)} exports, page {page}", text)

    @relay_command(exports, "show")
    @click.argument("name")
    def show_export(settings: Settings, name: str) -> Outcome:
        """One export: its definition, its status, and what came of its events.

        \b
        Example:
            relay exports show clevertap-engagement
        """
        state = _state(settings, name)
        document = _shown(settings, state)
        text = "\n".join(f"{key}: {_text(value)}" for key, value in document.items())
        return Outcome(document, f"{name} is {state.status}", text)


def _register_changes(exports: click.Group) -> None:
    @relay_command(exports, "create")
    @click.argument("name")
    @click.option("--partner", type=PARTNER, required=True, help="Whose events.")
    @click.option("--nickname", help="A name for people.")
    @click.option("--events", multiple=True, default=("engagement",), help=EVENTS_HELP)
    @click.option("--frequency", required=True, help="one_time, every_4_hours …, streaming.")
    @click.option("--start-date", type=DAY, help="Recurring: from midnight of this day on.")
    @click.option("--from", "first", type=DAY, help="one_time: the first day.")
    @click.option("--to", "last", type=DAY, help="one_time: the last day.")
    @click.option("--period", type=click.Choice(PERIODS), help="one_time: these days.")
    @click.option("--user-id-from", help="Field for Amplitude's user_id.")
    @click.option("--device-id-from", help="Field for Amplitude's device_id, or none.")
    @click.option("--residency", type=click.Choice(["eu", "standard"]))
    def create_export(
        settings: Settings,
        name: str,
        partner: str,
        nickname: str | None,
        events: tuple[str, ...],
        frequency: str,
        start_date: datetime | None,
        first: datetime | None,
        last: datetime | None,
        period: str | None,
        user_id_from: str | None,
        device_id_from: str | None,
        residency: str | None,
    ) -> Outcome:
        """Create an export: it is written to syncs.yml and runs with the next `relay sync`.

        A one-time export takes days of the last 60; a recurring one runs every 4 to 24 whole hours
        from midnight of its start date, in the partner's time zone.

        \b
        Example:
            relay exports create ct-engagement --partner clevertap --frequency every_4_hours
            relay exports create march --partner moengage --frequency one_time --period today
        """
        probe = EventExport.model_validate({"name": "x", "source": partner})
        today = settings.now().astimezone(settings.zone_of(probe)).date()
        from_day, to_day = _days(first, last, period, today)
        new = NewExport(
            name=name,
            source=partner,
            frequency=frequency,
            nickname=nickname,
            events=events,
            start_date=_day(start_date),
            first=from_day,
            last=to_day,
            user_id_from=user_id_from,
            device_id_from=device_id_from,
            residency=residency,
        )
        with warehouse.lock(settings.home, "relay exports create"):
            export = create(settings, new)
        return _changed(settings, export, f"{name} is PENDING")

    @relay_command(exports, "edit")
    @click.argument("name")
    @click.option("--events", multiple=True, help=EVENTS_HELP)
    @click.option("--frequency", help="every_4_hours … every_24_hours; the cycle begins anew.")
    @click.option("--start-date", type=DAY, help="Midnight of this day; else the coming one.")
    def edit_export(
        settings: Settings,
        name: str,
        events: tuple[str, ...],
        frequency: str | None,
        start_date: datetime | None,
    ) -> Outcome:
        """Change a recurring export; the next run takes the change.

        One-time exports, and those that are DONE or STOPPED, cannot be edited.

        \b
        Example:
            relay exports edit ct-engagement --frequency every_12_hours
        """
        with warehouse.lock(settings.home, "relay exports edit"):
            export, changes = edit(
                settings,
                _state(settings, name),
                events=events,
                frequency=frequency,
                start_date=_day(start_date),
            )
        said = ", ".join(f"{key}: {_text(value)}" for key, value in changes.items())
        return _changed(settings, export, f"{name} changed from the next run on: {said}", changes)

    @relay_command(exports, "stop")
    @click.argument("name")
    @click.option("--yes", is_flag=True, help="Stop without being asked.")
    def stop_export(settings: Settings, name: str, yes: bool) -> Outcome:
        """Stop an export: what is sealed and not sent is not sent any more.

        \b
        Example:
            relay exports stop ct-engagement --yes
        """
        state = _state(settings, name)
        if not yes:
            _ask_to_stop(state)
        with warehouse.lock(settings.home, "relay exports stop"):
            export = stop(settings, state)
        return _changed(settings, export, f"{name} is STOPPED")


def _ask_to_stop(state: ExportState) -> None:
    name = state.export.name
    if not sys.stdin.isatty():
        raise ConfigurationError(f"stopping {name} asks for confirmation; say --yes")
    if not click.confirm(f"Stop {name} ({state.status})? It will not run again", err=True):
        raise ConfigurationError(f"{name} was left as it is")


def _states(settings: Settings) -> list[ExportState]:
    """The exports of syncs.yml; before the first build no plan can have any."""
    runs: dict[str, Runs] = {}
    if settings.home.analytics.exists():
        with warehouse.read(settings.home) as connection:
            runs = read_runs(connection)
    return states_of(settings, runs)


def _state(settings: Settings, name: str) -> ExportState:
    states = {state.export.name: state for state in _states(settings)}
    if name not in states:
        raise ConfigurationError(
            f"there is no event export {name!r}; known: {', '.join(states) or 'none'}"
        )
    return states[name]


def _shown(settings: Settings, state: ExportState) -> dict[str, Any]:
    definition = state.export.model_dump(mode="json", by_alias=True, exclude_none=True)
    definition["residency"] = settings.residency_of(state.export)
    runs = state.runs
    return {
        **state.document,
        "definition": definition,
        "time_zone": str(settings.zone_of(state.export)),
        "last_plan_id": runs.last_plan_id,
        "events": {
            "delivered": runs.delivered,
            "rejected": runs.rejected,
            "unknown": runs.unknown,
            "pending": runs.pending,
        },
    }


def _changed(
    settings: Settings, export: EventExport, line: str, changes: dict[str, Any] | None = None
) -> Outcome:
    definition = export.model_dump(mode="json", by_alias=True, exclude_none=True)
    path = str(settings.syncs_file or settings.home.syncs_file)
    document = {"name": export.name, "path": path, "definition": definition}
    return Outcome(document if changes is None else {**document, "changes": changes}, line)


def _days(
    first: datetime | None, last: datetime | None, period: str | None, today: date
) -> tuple[date | None, date | None]:
    if period is None:
        return _day(first), _day(last)
    if first is not None or last is not None:
        raise ConfigurationError("give either --period, or --from and --to")
    return days_of(period, today)


def _day(given: datetime | None) -> date | None:
    return None if given is None else given.date()


def _text(value: Any) -> str:
    """A value for a person; `-` for none."""
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False)
    return "-" if value is None else str(value)
