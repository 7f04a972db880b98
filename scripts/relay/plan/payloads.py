"""Which payload table carries which sync, and within which limits."""

from duckdb import DuckDBPyConnection

from relay.errors import PlanError
from relay.plan.requests import Limits

_PAYLOADS = {
    ("cohort_sync", "clevertap"): "payloads.clevertap_cohort_changes",
    ("cohort_sync", "moengage"): "payloads.moengage_cohort_changes",
    ("cohort_sync", "lytics"): "payloads.lytics_cohorts",
    ("event_import", "lytics"): "payloads.lytics_events",
    ("event_export", "amplitude"): "payloads.amplitude_events",
}
PAYLOADS = tuple(_PAYLOADS.values())


def payload_of(kind: str, destination: str) -> str:
    """The payload table of a sync's kind and destination."""
    return _PAYLOADS[kind, destination]


def delivery_of(kind: str, destination: str, delivery: str | None) -> str:
    """The name under which `request_limits` knows how a sync is delivered."""
    if kind == "identify":
        return "identify"
    if kind != "cohort_sync":
        return "events"
    return delivery or "members"


def limits_of(
    connection: DuckDBPyConnection, destination: str, delivery: str
) -> tuple[Limits, dict[str, object]]:
    """The limits of a request, and how it is sent (method, path, query, content_type).

    Raises:
        PlanError: The seed `request_limits` has no such row.
    """
    row = connection.execute(
        "select max_records, max_bytes, method, path, query, content_type"
        " from seeds.request_limits where destination = ? and delivery = ?",
        [destination, delivery],
    ).fetchone()
    if row is None:
        raise PlanError(
            f"seeds/vendors/request_limits.csv has no row for destination {destination},"
            f" delivery {delivery}; add it and run `relay build`"
        )
    max_records, max_bytes, method, path, query, content_type = row
    pairs = (pair.split("=", 1) for pair in (query or "").split("&") if pair)
    send = {
        "method": method,
        "path": path,
        "query": dict(pairs),
        "content_type": content_type,
    }
    return Limits(max_records, max_bytes), send
