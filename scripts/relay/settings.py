"""The only reader of the environment, of `.env` and of syncs.yml.

A key of a vendor is a `SecretStr` from here on: it shows as stars wherever it is printed, and no
error names a value of the environment.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from relay.config import CohortSync, Config, EventExport, Sync
from relay.config_file import read_config
from relay.config_types import time_zones
from relay.errors import ConfigurationError
from relay.regions import host_of, hosts_of

_PROJECT_NAME = re.compile(r"^name:\s*['\"]?cohort_relay['\"]?\s*$", re.MULTILINE)


def _region_of(vendor: str, api: str) -> Any:
    def check(value: str) -> str:
        legal = hosts_of(vendor, api)
        if value not in legal:
            raise ValueError(f"expected one of {', '.join(legal)}")
        return value

    return AfterValidator(check)


def _host(value: str) -> str:
    """A scheme and authority without path; plain http only where nothing leaves the machine."""
    url = urlsplit(value)
    try:
        has_port_in_range = url.port is None or url.port > 0
    except ValueError:
        has_port_in_range = False
    if (
        url.scheme not in {"http", "https"}
        or not url.hostname
        or not has_port_in_range
        or url.username is not None
        or url.path not in {"", "/"}
        or url.query
        or url.fragment
    ):
        raise ValueError("expected a scheme and a host, no path and no user: https://host[:port]")
    if url.scheme == "http" and not _is_loopback(url.hostname):
        raise ValueError("expected https; plain http is for loopback only")
    return f"{url.scheme}://{url.netloc}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _zone(value: str) -> str:
    if value not in time_zones():
        raise ValueError("expected a time zone of the IANA data base, such as Asia/Kolkata")
    return value


def _instant(value: object) -> datetime:
    try:
        instant = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError("expected ISO 8601 in UTC, such as 2026-03-02T12:00:00Z") from None
    # A time without an offset is taken as what it must be, UTC.
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


Host = Annotated[str, AfterValidator(_host)]
Instant = Annotated[datetime, BeforeValidator(_instant)]


def _memory(value: str) -> str:
    if not re.fullmatch(r"[1-9]\d*(\.\d+)? ?(MB|GB|MiB|GiB)", value):
        raise ValueError("expected an amount of memory, such as 600MB or 4GB")
    return value


class Environment(BaseSettings):
    """The variables of the process and of `.env` (the process wins); empty ones count as unset.

    `relay_memory` is what DuckDB may use while dbt builds: with the default, two million members in
    five syncs are compared within 1 GB. More goes to disk, beside the warehouse.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    amplitude_api_key: SecretStr | None = None
    amplitude_secret_key: SecretStr | None = None
    amplitude_region: Annotated[str, _region_of("amplitude", "export")] | None = None
    amplitude_api_url: Host | None = None
    amplitude_ingest_url: Host | None = None
    clevertap_account_id: str | None = None
    clevertap_passcode: SecretStr | None = None
    clevertap_region: Annotated[str, _region_of("clevertap", "api")] | None = None
    clevertap_timezone: Annotated[str, AfterValidator(_zone)] | None = None
    clevertap_api_url: Host | None = None
    moengage_workspace_id: str | None = None
    moengage_api_key: SecretStr | None = None
    moengage_data_center: Annotated[str, _region_of("moengage", "api")] | None = None
    moengage_api_url: Host | None = None
    moengage_streams_user: str | None = None
    moengage_streams_password: SecretStr | None = None
    moengage_streams_header: SecretStr | None = None
    lytics_api_token: SecretStr | None = None
    lytics_api_url: Host | None = None
    lytics_bulk_url: Host | None = None
    relay_now: Instant | None = None
    relay_memory: Annotated[str, AfterValidator(_memory)] = "600MB"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load_settings` hands over: it reads the process and `.env`, once."""
        return (init_settings,)

    def amplitude_host(self) -> str:
        """Host of the Export and Cohorts APIs; that of the US without a region."""
        return self.amplitude_api_url or host_of("amplitude", "export", self.amplitude_region)

    def amplitude_ingest_host(self, residency: Literal["eu", "standard"] | None = None) -> str:
        """Host that takes events: by an export's residency, else the region, else Europe's.

        Source:
            CleverTap, Amplitude Export: Data Residency, Europe (default) or Standard.
        """
        region = {"eu": "eu", "standard": "us", None: self.amplitude_region}[residency]
        return self.amplitude_ingest_url or host_of("amplitude", "ingest", region)

    def clevertap_host(self) -> str:
        """Host of CleverTap's API; Europe's without a region, as CleverTap has it."""
        return self.clevertap_api_url or host_of("clevertap", "api", self.clevertap_region)

    def clevertap_zone(self) -> ZoneInfo:
        """The zone of the CleverTap project, in which its event times are written.

        Raises:
            ConfigurationError: `CLEVERTAP_TIMEZONE` is not set: a guess would move every event.
        """
        self.require("clevertap_timezone")
        return ZoneInfo(str(self.clevertap_timezone))

    def moengage_host(self) -> str:
        """Host of MoEngage's API.

        Raises:
            ConfigurationError: Neither the data center nor an address is set; there is no default.
        """
        if self.moengage_api_url is None:
            self.require("moengage_data_center")
        return self.moengage_api_url or host_of("moengage", "api", self.moengage_data_center)

    def lytics_host(self) -> str:
        """Host that takes JSON."""
        return self.lytics_api_url or host_of("lytics", "api", None)

    def lytics_bulk_host(self) -> str:
        """Host that takes CSV files."""
        return self.lytics_bulk_url or host_of("lytics", "bulk", None)

    def require(self, *names: str) -> None:
        """Make sure that these fields are set.

        Raises:
            ConfigurationError: Some are not; the message names every one of their variables.
        """
        missing = [name.upper() for name in names if getattr(self, name) is None]
        if missing:
            raise ConfigurationError(
                f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set; "
                "set in the environment or in .env of RELAY_HOME"
            )


@dataclass(frozen=True)
class Home:
    """The folder that holds everything of one installation (RELAY_HOME) and the places in it."""

    root: Path

    @property
    def syncs_file(self) -> Path:
        """The configuration; it may be absent."""
        return self.root / "syncs.yml"

    @property
    def landing(self) -> Path:
        """Bytes as they were received."""
        return self.root / "landing"

    @property
    def warehouse(self) -> Path:
        """Folder of the two databases."""
        return self.root / "warehouse"

    @property
    def database(self) -> Path:
        """The working database, with one writer."""
        return self.warehouse / "relay.duckdb"

    @property
    def analytics(self) -> Path:
        """The read-only copy for analysts."""
        return self.warehouse / "analytics.duckdb"

    @property
    def outbox(self) -> Path:
        """Sealed plans, a folder each."""
        return self.root / "outbox"

    @property
    def ledger(self) -> Path:
        """What was sent and answered, a file a plan."""
        return self.root / "ledger"

    @property
    def reports(self) -> Path:
        """The report page."""
        return self.root / "reports"

    @property
    def rehearsal_marker(self) -> Path:
        """There while what the home holds came from the emulators."""
        return self.root / "rehearsal.json"

    @property
    def lock_file(self) -> Path:
        """Held by the process that works; its content names the holder."""
        return self.root / "relay.lock"


@dataclass(frozen=True)
class RunOptions:
    """What one command asks of the models, beside the configuration.

    Attributes:
        planned_at: The clock of the command; None: it runs.
        retries_rejected: Parked rows are sent once more (`plan --retry-rejected`).
        undoes: The plan whose inverse is planned, instead of the difference (`undo`).
    """

    planned_at: datetime | None = None
    retries_rejected: bool = False
    undoes: str | None = None


@dataclass(frozen=True)
class Settings:
    """Everything a command needs to know before it begins."""

    home: Home
    config: Config
    env: Environment
    project_root: Path
    syncs_file: Path | None = field(default=None)
    run: RunOptions = field(default_factory=RunOptions)

    def now(self) -> datetime:
        """The clock, in UTC; it stands still where RELAY_NOW is set or the command froze it."""
        return self.run.planned_at or self.env.relay_now or datetime.now(UTC)

    def for_run(
        self,
        *,
        retries_rejected: bool = False,
        undoes: str | None = None,
        not_before: datetime | None = None,
    ) -> Self:
        """The same settings with the clock stopped at this second: one time for one run.

        Where `not_before` is later than the clock, the run is given that time.
        """
        planned_at = self.now().replace(microsecond=0)
        planned_at = max(planned_at, not_before or planned_at)
        return replace(self, run=RunOptions(planned_at, retries_rejected, undoes))

    def residency_of(self, export: EventExport) -> Literal["eu", "standard"]:
        """Where an export's events are kept: its own word, else the region's, else Europe."""
        return export.residency or ("standard" if self.env.amplitude_region == "us" else "eu")

    def zone_of(self, sync: Sync) -> ZoneInfo:
        """The zone a sync's times are meant in: its own; for exports that of their midnights.

        CleverTap's is the project's, UTC while CLEVERTAP_TIMEZONE is not set; MoEngage's is UTC.
        """
        if isinstance(sync, CohortSync):
            return sync.zone
        if isinstance(sync, EventExport) and sync.source == "clevertap":
            return ZoneInfo(self.env.clevertap_timezone or "UTC")
        return ZoneInfo("UTC")


def find_project_root() -> Path:
    """The folder of the dbt project: upwards from here, else where this code stands.

    Raises:
        ConfigurationError: Neither is a checkout of the project.
    """
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[2]):
        project = folder / "dbt_project.yml"
        if project.is_file() and _PROJECT_NAME.search(project.read_text(encoding="utf-8")):
            return folder
    raise ConfigurationError(
        f"{here}: no dbt_project.yml of cohort_relay here or above; "
        "run relay in the project's folder"
    )


def load_settings(
    home: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    syncs_file: Path | None = None,
) -> Settings:
    """Read everything once: the environment, `.env` and syncs.yml.

    Args:
        home: RELAY_HOME; default the variable, else the project's folder.
        environ: The variables; default those of this process.
        syncs_file: The configuration to read; default `syncs.yml` in the home, and without one an
            empty configuration (in a home that holds a rehearsal: the example). A file named here
            must exist.

    Raises:
        ConfigurationError: Something cannot be right; the message names every variable, or every
            line and field of the file, with what was expected.
    """
    environ = os.environ if environ is None else environ
    project_root = find_project_root()
    root = home or Path(environ.get("RELAY_HOME") or project_root)
    place = Home(root.expanduser().absolute())
    if place.root.exists() and not place.root.is_dir():
        raise ConfigurationError(f"RELAY_HOME: {place.root} is not a folder")
    env = _read_environment(place.root / ".env", environ)
    path = syncs_file or _syncs_file(place, project_root)
    config = Config() if path is None else read_config(path)
    return Settings(place, config, env, project_root, path)


def _syncs_file(home: Home, project_root: Path) -> Path | None:
    """The user's own; in a home that holds a rehearsal the example; else none."""
    if home.syncs_file.exists():
        return home.syncs_file
    return project_root / "syncs.example.yml" if home.rehearsal_marker.exists() else None


def _read_environment(env_file: Path, environ: Mapping[str, str]) -> Environment:
    given = {name: environ.get(name.upper(), "").strip() for name in Environment.model_fields}
    set_ones = {name: value for name, value in given.items() if value}
    try:
        written = DotEnvSettingsSource(
            Environment, env_file=env_file, env_file_encoding="utf-8-sig"
        )()
        return Environment.model_validate({**written, **set_ones})
    except ValidationError as error:
        lines = [
            f"{str(detail['loc'][0]).upper()}: {detail['msg'].removeprefix('Value error, ')}"
            for detail in error.errors(include_url=False, include_input=False)
        ]
        raise ConfigurationError("\n".join(lines)) from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{env_file}: is not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from None
