"""The default mappings of the streams `amplitude_cohorts` and `amplitude_events`.

Written down from Lytics' Amplitude page on their own, so that what Cohort Relay makes of the same
page can be compared with them.
"""

from dataclasses import dataclass
from typing import Literal

from relay.emulate.lytics.expressions import Expression, parse

Kind = Literal[
    "string",
    "int",
    "number",
    "bool",
    "date",
    "map[string]string",
    "map[string]bool",
    "map[string]intsum",
]
COHORTS, EVENTS = "amplitude_cohorts", "amplitude_events"
LAYOUT = '"2006-01-02 15:04:05.000000"'


@dataclass(frozen=True, slots=True)
class Mapping:
    """One mapping: a row's value into a profile's field."""

    source: str
    target: str
    kind: Kind
    is_unique_id: bool
    evaluate: Expression


def mapping(source: str, target: str, kind: Kind, *, is_unique_id: bool = False) -> Mapping:
    """A mapping from its texts.

    Raises:
        ValueError: The source is not an expression.
    """
    return Mapping(source, target, kind, is_unique_id, parse(source))


def default_mappings() -> dict[str, list[Mapping]]:
    """The mappings of the page, in its order, by stream."""
    both = [
        mapping("amplitude_id", "amplitude_id", "string", is_unique_id=True),
        mapping("user_id", "amplitude_user_id", "string", is_unique_id=True),
        *_same("string", "city", "country", "language", "region"),
        mapping("region", "state", "string"),
    ]
    return {
        COHORTS: [
            *both,
            *_prefixed("string", "carrier", "device", "device_type", "dma", "library", "os"),
            *_prefixed("string", "platform", "start_version", "version"),
            mapping("map(cohort_id, cohort_membership)", "amplitude_cohort_ids", "map[string]bool"),
            mapping(
                "map(cohort_name, cohort_membership)", "amplitude_cohort_names", "map[string]bool"
            ),
            mapping("todate(last_computed)", "amplitude_last_computed", "date"),
        ],
        EVENTS: [
            *both,
            mapping("$insert_id", "amplitude_insert_id", "string"),
            mapping("$schema", "amplitude_schema", "int"),
            *_prefixed("int", "app", "event_id"),
            *_prefixed("string", "adid", "data", "device_brand", "device_carrier", "device_family"),
            *_prefixed("string", "device_id", "device_manufacturer", "device_model"),
            *_prefixed("string", "device_type", "dma", "idfa", "library", "os_name", "os_version"),
            *_prefixed("string", "platform", "sample_rate", "session_id"),
            *_same("string", "amplitude_attribution_ids", "amplitude_event_type"),
            *_prefixed("bool", "is_attribution_event", "paying"),
            *_prefixed("number", "location_lat", "location_lng"),
            *(
                mapping(f'match("{name}.")', f"amplitude_{name}", "map[string]string")
                for name in ("event_properties", "group_properties", "user_properties")
            ),
            *(
                mapping(f"todate({LAYOUT}, {name})", f"amplitude_{name}", "date")
                for name in (
                    "client_event_time",
                    "client_upload_time",
                    "event_time",
                    "server_upload_time",
                    "user_creation_time",
                )
            ),
            mapping("valuect(event_type)", "amplitude_events", "map[string]intsum"),
        ],
    }


def additional_mappings() -> list[Mapping]:
    """The fields of `amplitude_events` that the page keeps out until support adds them."""
    return [
        *(
            mapping(f"todate({LAYOUT}, {name})", f"amplitude_{name}", "date")
            for name in ("server_received_time", "processed_time")
        ),
        *_prefixed("string", "version_name", "start_version", "uuid", "ip_address"),
    ]


def _same(kind: Kind, *names: str) -> list[Mapping]:
    return [mapping(name, name, kind) for name in names]


def _prefixed(kind: Kind, *names: str) -> list[Mapping]:
    return [mapping(name, f"amplitude_{name}", kind) for name in names]
