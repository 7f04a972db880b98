"""`relay doctor`: what would stop the next run, or make it other than was meant.

Nothing is sent, written or waited for, and a key is named, never shown.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import duckdb
from duckdb import DuckDBPyConnection
from pydantic import SecretStr

from relay import warehouse
from relay.config import EventExport, Sync
from relay.errors import BudgetError, ConfigurationError
from relay.own_files import read_junk_ids, read_overrides, read_suppressions
from relay.plan.budget import Budget, make_budget, read_budget
from relay.plan.schedule import check_export_window
from relay.settings import Environment, Home, Settings

# Publishing copies the warehouse beside itself; below this, not even a small one fits.
LEAST_FREE_BYTES = 1 << 30

_LISTS = ("cohort syncs", "event imports", "event exports")
# What each use of a vendor needs of the environment, by the kind and end of a sync.
_READS_AMPLITUDE = ("amplitude_api_key", "amplitude_secret_key")
_NEEDS = {
    "clevertap": ("clevertap_account_id", "clevertap_passcode"),
    "moengage": ("moengage_workspace_id", "moengage_api_key"),
    "lytics": ("lytics_api_token",),
    "amplitude": ("amplitude_api_key",),
}


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Attributes:
        name: What was looked at.
        state: `ok`; `warning`: it will run, perhaps not as meant; `problem`: it will not.
        text: What was found, and for the other two what to do.
    """

    name: str
    state: Literal["ok", "warning", "problem"]
    text: str


@dataclass(frozen=True)
class DoctorReport:
    """Everything that was looked at, in the order in which a run needs it."""

    checks: tuple[Check, ...]
    budget: Budget | None

    @property
    def exit_code(self) -> int:
        """2 with a problem, which is always of configuration; else 0."""
        return 2 if any(check.state == "problem" for check in self.checks) else 0

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document: `checks` of `name`, `state`, `text`, and `budget` with its numbers."""
        return {
            "checks": [asdict(check) for check in self.checks],
            "budget": None if self.budget is None else self.budget.document,
        }

    @property
    def lines(self) -> tuple[str, ...]:
        """A line a check, to read."""
        width = max(len(check.name) for check in self.checks)
        return tuple(
            f"{check.state:<7}  {check.name:<{width}}  {check.text}" for check in self.checks
        )


def doctor(settings: Settings) -> DoctorReport:
    """Look at everything a run needs, without a request to anybody.

    Configuration that cannot be read at all is found before, by `load_settings`.
    """
    budget: Budget | None = None
    known = _connection(settings.home)
    with closing(known):
        has_data = known.execute("select 1 from duckdb_tables() where schema_name = 'raw'")
        is_built = has_data.fetchone() is not None
        ran = _syncs_that_ran(known) if is_built else frozenset()
        checks = [
            *_configuration(settings, known),
            *_keys(settings),
            *_hosts(settings.env),
            *_zones_and_residency(settings),
            *_export_windows(settings, ran),
            *_clock(settings, _last_ledger_time(known) if is_built else None),
            *_home(settings.home),
        ]
        try:
            budget = (
                read_budget(known, settings.config, now=settings.now())
                if is_built
                else make_budget(settings.config, now=settings.now(), used=0)
            )
        except BudgetError as error:
            checks.append(Check("budget", "problem", str(error)))
        else:
            checks.append(_budget(budget))
    return DoctorReport(tuple(checks), budget)


def _connection(home: Home) -> DuckDBPyConnection:
    """The analysts' copy, or before the first build a database with nothing in it."""
    return warehouse.read(home) if home.analytics.exists() else duckdb.connect()


def _syncs_that_ran(known: DuckDBPyConnection) -> frozenset[str]:
    rows = known.execute("select distinct sync_name from raw.ledger_lines").fetchall()
    return frozenset(name for (name,) in rows if name is not None)


def _last_ledger_time(known: DuckDBPyConnection) -> datetime | None:
    (last,) = known.execute('select max("at") from raw.ledger_lines').fetchall()[0]
    return None if last is None else last.replace(tzinfo=UTC)


def _enabled(settings: Settings) -> list[Sync]:
    return [sync for sync in settings.config.syncs if sync.enabled]


def _configuration(settings: Settings, connection: DuckDBPyConnection) -> Iterator[Check]:
    config = settings.config
    if settings.syncs_file is None:
        text = f"{settings.home.syncs_file} is not there; copy syncs.example.yml to it"
        yield Check("configuration", "warning", text)
    else:
        lists = (config.cohort_syncs, config.event_imports, config.event_exports)
        counts = [f"{len(each)} {name}" for each, name in zip(lists, _LISTS, strict=True)]
        yield Check("configuration", "ok", f"{settings.syncs_file}: {', '.join(counts)}")
    own = config.identity
    readers: tuple[tuple[str, Path | None, Callable[[], list[dict[str, Any]]]], ...] = (
        ("junk_ids", own.junk_ids, lambda: read_junk_ids(own.junk_ids, connection)),
        (
            "overrides",
            own.overrides,
            lambda: read_overrides(own.overrides, own.namespaces.values()),
        ),
        ("suppress", config.suppress, lambda: read_suppressions(config.suppress, connection)),
    )
    for name, path, read in readers:
        if path is not None:
            yield _own_file(name, path, read)


def _own_file(name: str, path: Path, read: Callable[[], list[dict[str, Any]]]) -> Check:
    try:
        rows = read()
    except ConfigurationError as error:
        return Check(name, "problem", str(error))
    return Check(name, "ok", f"{path}: {len(rows)} rows")


def _keys(settings: Settings) -> Iterator[Check]:
    """What is set, by name only, and what the enabled syncs need beside it."""
    env = settings.env
    fields = [
        name
        for name, value in env
        if isinstance(value, SecretStr)
        or (value and name.endswith(("_account_id", "_workspace_id")))
    ]
    present = ", ".join(name.upper() for name in fields)
    yield Check("keys", "ok", f"set: {present or 'none'}")
    missing = sorted({name for name in _needed(settings) if getattr(env, name) is None})
    if missing:
        names = ", ".join(name.upper() for name in missing)
        text = f"not set, but needed by enabled syncs: {names}; set them in .env of RELAY_HOME"
        yield Check("keys", "warning", text)
    env_file = settings.home.root / ".env"
    if os.name == "posix" and env_file.is_file() and env_file.stat().st_mode & 0o077:
        text = f"{env_file} can be read by others; chmod 600 {env_file}"
        yield Check("keys", "warning", text)


def _needed(settings: Settings) -> Iterable[str]:
    for sync in _enabled(settings):
        yield from _NEEDS[sync.destination]
        if sync.kind != "event_export":
            yield from _READS_AMPLITUDE
        if sync.destination == "moengage" and settings.env.moengage_api_url is None:
            yield "moengage_data_center"


def _hosts(env: Environment) -> Iterator[Check]:
    hosts = {
        "Amplitude": f"{env.amplitude_host()}, events to {env.amplitude_ingest_host()}",
        "CleverTap": env.clevertap_host(),
        "Lytics": f"{env.lytics_host()}, files to {env.lytics_bulk_host()}",
    }
    if env.moengage_api_url or env.moengage_data_center:
        hosts["MoEngage"] = env.moengage_host()
    for vendor, host in sorted(hosts.items()):
        yield Check("hosts", "ok", f"{vendor}: {host}")


def _zones_and_residency(settings: Settings) -> Iterator[Check]:
    env = settings.env
    exports = [sync for sync in _enabled(settings) if isinstance(sync, EventExport)]
    if env.clevertap_timezone is None and any(each.source == "clevertap" for each in exports):
        text = (
            "CLEVERTAP_TIMEZONE is not set: CleverTap writes event times in its project's zone, "
            "so no export of it can be loaded; set it, such as Asia/Kolkata"
        )
        yield Check("regions", "warning", text)
    if env.amplitude_ingest_url is not None:
        return
    read_in = "eu" if env.amplitude_region == "eu" else "standard"
    for export in exports:
        residency = settings.residency_of(export)
        if env.amplitude_api_url is None and residency != read_in:
            text = (
                f"{export.name} sends to Amplitude's {residency} region, but cohorts and events "
                f"are read from the {read_in} one, and one project's keys hold in one region; "
                "set AMPLITUDE_REGION or residency"
            )
            yield Check("regions", "warning", text)


def _export_windows(settings: Settings, ran: frozenset[str]) -> Iterator[Check]:
    for sync in _enabled(settings):
        if isinstance(sync, EventExport) and sync.name not in ran:
            try:
                check_export_window(sync, now=settings.now(), zone=settings.zone_of(sync))
            except ConfigurationError as error:
                yield Check("exports", "problem", str(error))


def _clock(settings: Settings, last: datetime | None) -> Iterator[Check]:
    now = settings.now()
    shown = f"{now:%Y-%m-%dT%H:%M:%SZ}"
    if settings.env.relay_now is not None:
        yield Check("clock", "warning", f"{shown}, where RELAY_NOW stops it; unset it to run")
    elif last is not None and now < last:
        text = f"{shown} is before the ledger's last line, {last:%Y-%m-%dT%H:%M:%SZ}; set the clock"
        yield Check("clock", "warning", text)
    else:
        yield Check("clock", "ok", shown)


def _home(home: Home) -> Iterator[Check]:
    holder = warehouse.lock_holder(home)
    if holder is None:
        yield Check("lock", "ok", "free")
    else:
        yield Check("lock", "warning", f"held by {warehouse.describe_holder(holder)}")
    folder = _nearest_folder(home.root)
    if not os.access(folder, os.W_OK):
        yield Check("disk", "problem", f"{folder} cannot be written to")
        return
    free = shutil.disk_usage(folder).free
    size = home.database.stat().st_size if home.database.exists() else 0
    needed = max(LEAST_FREE_BYTES, 2 * size)
    shown = f"{free / 2**30:,.1f} GiB free in {folder}"
    if free < needed:
        text = f"{shown}; a build wants {needed / 2**30:,.1f} GiB, so make room"
        yield Check("disk", "warning", text)
    else:
        yield Check("disk", "ok", shown)


def _nearest_folder(path: Path) -> Path:
    return next(each for each in (path, *path.parents) if each.is_dir())


def _budget(budget: Budget) -> Check:
    if budget.advice is not None:
        return Check("budget", "warning", budget.advice)
    text = (
        f"about {budget.forecast:,} cohort downloads a month of {budget.monthly:,}; "
        f"{budget.used:,} used, {budget.left:,} left until {budget.resets_at:%Y-%m-%d}"
    )
    return Check("budget", "ok", text)
