"""All emulators together: started and stopped as one, with the environment that points to them."""

from collections.abc import Mapping
from datetime import datetime
from types import TracebackType

from relay.emulate.amplitude.switches import AmplitudeSwitches
from relay.emulate.amplitude.vendor import Amplitude
from relay.emulate.clevertap.switches import ClevertapSwitches
from relay.emulate.clevertap.vendor import Clevertap
from relay.emulate.clock import Clock
from relay.emulate.files import Files
from relay.emulate.lytics.switches import LyticsSwitches
from relay.emulate.lytics.vendor import Lytics
from relay.emulate.moengage.switches import MoengageSwitches
from relay.emulate.moengage.vendor import Moengage
from relay.emulate.server import Server
from relay.emulate.vendor import Vendor

PROJECT = "829528"
# Made-up keys; none opens anything outside these emulators.
KEYS = {
    "AMPLITUDE_API_KEY": "emulated-amplitude-api-key",
    "AMPLITUDE_SECRET_KEY": "emulated-amplitude-secret-key",
    "AMPLITUDE_REGION": "eu",
    "CLEVERTAP_ACCOUNT_ID": "EMU-LAT-ED1Z",
    "CLEVERTAP_PASSCODE": "emulated-clevertap-passcode",
    "CLEVERTAP_REGION": "eu1",
    "CLEVERTAP_TIMEZONE": "Asia/Kolkata",
    "MOENGAGE_WORKSPACE_ID": "EMULATEDWORKSPACE",
    "MOENGAGE_API_KEY": "emulated-moengage-api-key",
    "MOENGAGE_DATA_CENTER": "01",
    "LYTICS_API_TOKEN": "emulated-lytics-api-token",
}
ORIGINS = {
    "AMPLITUDE_API_URL": "amplitude",
    "AMPLITUDE_INGEST_URL": "amplitude_ingest",
    "CLEVERTAP_API_URL": "clevertap",
    "MOENGAGE_API_URL": "moengage",
    "LYTICS_API_URL": "lytics",
    "LYTICS_BULK_URL": "lytics_bulk",
}


class Emulators:
    """The vendors on loopback, each origin on a port of its own.

    As a context manager it starts them and stops them:

        with Emulators(clock=Clock(noon, frozen=True)) as emulators:
            emulators.amplitude.add_events("829528", events)
            settings = load_settings(home, environ=emulators.environ)

    Args:
        clock: The vendors' time, or the moment it runs on from; the machine's time by default.
        ports: Ports by origin (`amplitude`, `amplitude_ingest`, `clevertap`, `moengage`, `lytics`,
            `lytics_bulk`, `files`); free ones by default.
        keys: Credentials to accept instead of the made-up ones, by environment variable.
        project: Id of the Amplitude project that the keys open.
        amplitude, clevertap, moengage, lytics: Switches of a vendor.

    Attributes:
        environ: The environment variables that send Cohort Relay to these emulators.
        project: Id of the Amplitude project that the keys open.
        urls: Scheme and authority by origin.
    """

    def __init__(
        self,
        *,
        clock: Clock | datetime | None = None,
        ports: Mapping[str, int] | None = None,
        keys: Mapping[str, str] | None = None,
        project: str = PROJECT,
        amplitude: AmplitudeSwitches | None = None,
        clevertap: ClevertapSwitches | None = None,
        moengage: MoengageSwitches | None = None,
        lytics: LyticsSwitches | None = None,
    ) -> None:
        self.clock = clock if isinstance(clock, Clock) else Clock(clock)
        self.project = project
        known = KEYS | dict(keys or {})
        self.files = Files(self.clock)
        self.amplitude = Amplitude(
            self.clock,
            self.files,
            project=project,
            api_key=known["AMPLITUDE_API_KEY"],
            secret_key=known["AMPLITUDE_SECRET_KEY"],
            switches=amplitude,
        )
        self.clevertap = Clevertap(
            self.clock,
            self.files,
            account_id=known["CLEVERTAP_ACCOUNT_ID"],
            passcode=known["CLEVERTAP_PASSCODE"],
            switches=clevertap,
        )
        self.moengage = Moengage(
            self.clock,
            workspace_id=known["MOENGAGE_WORKSPACE_ID"],
            api_key=known["MOENGAGE_API_KEY"],
            switches=moengage,
        )
        self.lytics = Lytics(self.clock, token=known["LYTICS_API_TOKEN"], switches=lytics)
        applications = {
            origin: application
            for vendor in self.vendors
            for origin, application in vendor.applications().items()
        }
        self._server = Server(applications, ports)
        self.urls = self._server.urls
        self.files.base_url = self.urls["files"]
        self.environ = known | {name: self.urls[origin] for name, origin in ORIGINS.items()}

    @property
    def vendors(self) -> tuple[Vendor, ...]:
        """Every vendor, the bucket last."""
        return (self.amplitude, self.clevertap, self.moengage, self.lytics, self.files)

    def start(self) -> "Emulators":
        """Begin to serve."""
        self._server.start()
        return self

    def stop(self) -> None:
        """Drop every connection and free the ports."""
        self._server.stop()

    def __enter__(self) -> "Emulators":
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
