"""Creates, edits and stops exports: syncs.yml is their definition, and is rewritten whole or not.

What is allowed is what CleverTap's page allows: a one-time export is never edited, nor is one that
is done or stopped; what kind of data it carries and where from never changes; a run that is under
way is not touched, the next one takes the change; another frequency begins a new cycle at midnight.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from pathlib import Path
from typing import Any

from relay.apply.ledger import Ledger
from relay.config import Config, EventExport
from relay.config_file import read_config
from relay.durable import writing
from relay.errors import ConfigurationError
from relay.exports.states import ExportState
from relay.exports.yaml_edit import Value, append_entry, set_keys
from relay.plan.schedule import check_export_window
from relay.settings import Settings

LIST_KEY = "event_exports"


@dataclass(frozen=True)
class NewExport:
    """What `relay exports create` was given; None is left to its default."""

    name: str
    source: str
    frequency: str
    nickname: str | None = None
    events: tuple[str, ...] = ("engagement",)
    start_date: date | None = None
    first: date | None = None
    last: date | None = None
    user_id_from: str | None = None
    device_id_from: str | None = None
    residency: str | None = None


def create(settings: Settings, new: NewExport) -> EventExport:
    """Add an export to syncs.yml; it is PENDING from now on. The caller holds the lock.

    A recurring export starts at midnight of `start_date`, by default today, in its source's zone.

    Raises:
        ConfigurationError: Something of it cannot be right, its name is taken, or its days are not
            of the last 60. The file is as it was.
    """
    is_recurring = new.frequency.startswith("every_")
    today = _today(settings, new.source) if is_recurring else None
    entry: dict[str, Value] = {"name": new.name, "source": new.source}
    given: dict[str, Value | None] = {
        "nickname": new.nickname,
        "events": _events(new.events),
        "frequency": new.frequency,
        "start_date": new.start_date or today,
        "from": new.first,
        "to": new.last,
        "user_id_from": new.user_id_from,
        "device_id_from": new.device_id_from,
        "residency": new.residency,
    }
    entry |= {key: value for key, value in given.items() if value is not None}
    entry["created_at"] = settings.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with _rewriting(settings) as file:
        file.text = append_entry(file.text, LIST_KEY, entry)
        export = _export(file.check(), new.name)
        check_export_window(export, now=settings.now(), zone=settings.zone_of(export))
    return export


def edit(
    settings: Settings,
    state: ExportState,
    *,
    events: tuple[str, ...] = (),
    frequency: str | None = None,
    start_date: date | None = None,
) -> tuple[EventExport, dict[str, Any]]:
    """Change an export in syncs.yml; the next run takes the change. The caller holds the lock.

    Args:
        settings: Whose syncs.yml, and the clock.
        state: The export as it stands.
        events: `engagement`, `all`, or names of events.
        frequency: Begins a new cycle at midnight of `start_date`, by default the coming midnight.
        start_date: Without a frequency: from which day on events are carried, and runs counted.

    Returns:
        The export as it is now, and the keys that changed with their new values.

    Raises:
        ConfigurationError: It may not be edited, or not so; the file is as it was.
    """
    export = state.export
    _check_may_be_edited(state)
    if not events and frequency is None and start_date is None:
        raise ConfigurationError(
            f"export {export.name}: nothing to change; give --events, --frequency or --start-date"
        )
    changes: dict[str, Value | None] = {}
    if events:
        changes["events"] = _events(events)
    if frequency is not None:
        if frequency == "one_time":
            raise ConfigurationError(
                f"export {export.name}: a recurring export stays one; create another for one_time"
            )
        changes["frequency"] = frequency
        tomorrow = _today(settings, export.source) + timedelta(days=1)
        changes["cycle_from"] = None if frequency == "streaming" else start_date or tomorrow
    elif start_date is not None:
        changes |= {"start_date": start_date, "cycle_from": None}
    with _rewriting(settings) as file:
        file.text = set_keys(file.text, LIST_KEY, export.name, changes)
        changed = _export(file.check(), export.name)
    return changed, {key: _plain(value) for key, value in changes.items()}


def stop(settings: Settings, state: ExportState) -> EventExport:
    """Stop an export: nothing of it is planned or sent any more. The caller holds the lock.

    The ledger hears of it first, so that a plan that is sealed already is not sent either.

    Raises:
        ConfigurationError: It is stopped or done already.
    """
    name = state.export.name
    if state.status in {"STOPPED", "DONE"}:
        raise ConfigurationError(f"export {name} is {state.status}; there is nothing to stop")
    with Ledger.open(settings.home) as ledger:
        ledger.append(
            "paused", at=settings.now(), plan_id=None, sync=name, detail={"reason": "stopped"}
        )
    with _rewriting(settings) as file:
        file.text = set_keys(file.text, LIST_KEY, name, {"enabled": False})
        return _export(file.check(), name)


def _check_may_be_edited(state: ExportState) -> None:
    name = state.export.name
    if state.export.frequency == "one_time":
        raise ConfigurationError(f"export {name} is one_time: such an export cannot be edited")
    if state.status in {"DONE", "STOPPED"}:
        raise ConfigurationError(f"export {name} is {state.status}: it cannot be edited any more")


def _events(events: tuple[str, ...]) -> Value:
    """`engagement` or `all` alone is a word; anything else a list of names."""
    return events[0] if events in {("engagement",), ("all",)} else events


def _plain(value: Value | None) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def _today(settings: Settings, source: str) -> date:
    """Today where the source's midnights are."""
    probe = EventExport.model_validate({"name": "x", "source": source})
    return settings.now().astimezone(settings.zone_of(probe)).date()


def _export(config: Config, name: str) -> EventExport:
    return next(export for export in config.event_exports if export.name == name)


@dataclass
class _File:
    """syncs.yml while it is being changed."""

    path: Path
    text: str

    def check(self) -> Config:
        """The configuration that the text is; its problems are told by the file's own name."""
        probe = self.path.with_name(f".{self.path.name}.check")
        probe.write_text(self.text, encoding="utf-8")
        try:
            return read_config(probe)
        except ConfigurationError as error:
            raise ConfigurationError(str(error).replace(str(probe), str(self.path))) from None
        finally:
            probe.unlink()


@contextmanager
def _rewriting(settings: Settings) -> Iterator[_File]:
    """The file's text to change; written at the end of the block, if nothing was raised."""
    path = settings.syncs_file or settings.home.syncs_file
    before = path.read_text(encoding="utf-8-sig") if path.exists() else "version: 1\n"
    file = _File(path, before)
    yield file
    with writing(path) as target:
        target.write(file.text.encode())
