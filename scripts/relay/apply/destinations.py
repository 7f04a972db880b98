"""Which way a sync of a plan goes."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import httpx
from pydantic import SecretStr

from relay.apply import amplitude, clevertap, lytics, moengage
from relay.apply.limits import ONE_AT_A_TIME, Limits
from relay.apply.ways import Way
from relay.errors import PlanError
from relay.plan.manifest import PlanFile, PlanSync
from relay.settings import Environment, Settings

_WAYS: dict[tuple[str, str], type[Way]] = {
    ("clevertap", "events"): clevertap.Upload,
    ("clevertap", "custom_list"): clevertap.CustomList,
    ("moengage", "members"): moengage.CohortSync,
    ("lytics", "members"): lytics.Upload,
    ("lytics", "events"): lytics.Upload,
    ("amplitude", "events"): amplitude.Events,
    ("amplitude", "identify"): amplitude.Identify,
}


@dataclass(frozen=True)
class Route:
    """Syncs of one route share its connections, its limits and its fate.

    `delivery` is that of the seed of limits; `host` is set where it depends on the sync.
    """

    destination: str
    delivery: str
    host: str = ""

    @property
    def way(self) -> type[Way]:
        """The class that knows how requests reach it."""
        return _WAYS[self.destination, self.delivery]


def route_of(settings: Settings, sync: PlanSync, file: PlanFile) -> Route:
    """The route of a sync.

    Raises:
        PlanError: Nothing is known of its destination.
    """
    path = (file.send or {}).get("path")
    delivery = "members" if sync.kind == "cohort_sync" else "events"
    host = ""
    if sync.destination == "clevertap":
        # Events and profiles count together against the uploads of an account.
        delivery = "custom_list" if sync.delivery == "custom_list" else "events"
    elif sync.destination == "amplitude":
        delivery = "identify" if path == amplitude.IDENTIFY_PATH else "events"
        exports = {export.name: export for export in settings.config.event_exports}
        export = exports.get(sync.name)
        host = settings.env.amplitude_ingest_host(export.residency if export else None)
    route = Route(sync.destination, delivery, host)
    if (route.destination, route.delivery) not in _WAYS:
        raise PlanError(f"{sync.name}: there is no way to send to {sync.destination!r}")
    return route


def open_way(
    route: Route,
    settings: Settings,
    limits: Mapping[tuple[str, str], Limits],
    transport: httpx.BaseTransport | None = None,
) -> Way:
    """Connect to a destination.

    Raises:
        ConfigurationError: A variable is missing or cannot be right.
    """
    environment = settings.env
    secrets = _secrets(environment)
    limit = limits.get((route.destination, route.delivery), ONE_AT_A_TIME)
    if route.way is clevertap.Upload:
        connection = clevertap.connect(environment, limit, transport)
        return clevertap.Upload(connection, limit, secrets, query={})
    if route.way is clevertap.CustomList:
        connection = clevertap.connect(environment, limit, transport)
        host = environment.clevertap_host()
        return clevertap.CustomList(connection, limit, secrets, host=host)
    if route.way is moengage.CohortSync:
        connection = moengage.connect(environment, limit, transport)
        return moengage.CohortSync(connection, limit, secrets)
    if route.way is lytics.Upload:
        json_host, bulk_host = lytics.connect(environment, limit, transport)
        return lytics.Upload(json_host, bulk_host, limit, secrets)
    connection, key = amplitude.connect(environment, route.host, limit, transport)
    if route.way is amplitude.Identify:
        return amplitude.Identify(connection, key, limit, secrets)
    return amplitude.Events(connection, key, limit, secrets)


def _secrets(environment: Environment) -> list[str]:
    """Every key of the environment, and MoEngage's as it travels: none may be kept or told."""
    values = (getattr(environment, name) for name in type(environment).model_fields)
    secrets = [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
    if environment.moengage_api_key is not None:
        pair = (
            f"{environment.moengage_workspace_id}:{environment.moengage_api_key.get_secret_value()}"
        )
        secrets.append(base64.b64encode(pair.encode()).decode())
    return secrets
