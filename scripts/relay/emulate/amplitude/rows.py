"""The rows of Amplitude's export: their 55 keys, their hour, their time stamps."""

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

# In the order of the real rows: ASCII, `$…` first. The value is what an unset key holds.
UNSET: dict[str, Any] = {
    "$insert_id": None,
    "$insert_key": None,
    "$schema": None,
    "adid": None,
    "amplitude_attribution_ids": None,
    "amplitude_event_type": None,
    "amplitude_id": None,
    "app": None,
    "city": None,
    "client_event_time": None,
    "client_upload_time": None,
    "country": None,
    "data": {},
    "data_type": "event",
    "device_brand": None,
    "device_carrier": None,
    "device_family": None,
    "device_id": None,
    "device_manufacturer": None,
    "device_model": None,
    "device_type": None,
    "dma": None,
    "event_id": None,
    "event_properties": {},
    "event_time": None,
    "event_type": None,
    "global_user_properties": None,
    "group_properties": {},
    "groups": {},
    "idfa": None,
    "ip_address": None,
    "is_attribution_event": None,
    "language": None,
    "library": "http/2.0",
    "location_lat": None,
    "location_lng": None,
    "os_name": None,
    "os_version": None,
    "partner_id": None,
    "paying": None,
    "plan": {},
    "platform": None,
    "processed_time": None,
    "region": None,
    "sample_rate": None,
    "server_received_time": None,
    "server_upload_time": None,
    "session_id": -1,
    "source_id": "",
    "start_version": None,
    "user_creation_time": None,
    "user_id": None,
    "user_properties": {},
    "uuid": None,
    "version_name": None,
}

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)
_UPLOAD_HOUR = re.compile(rb'"server_upload_time"\s*:\s*"(\d{4})-(\d\d)-(\d\d)[ T](\d\d):')
_HOUR_NAME = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)[T _](\d\d?)")
_TIMES = (
    "client_event_time",
    "client_upload_time",
    "processed_time",
    "server_received_time",
    "server_upload_time",
)


def stamp(moment: datetime) -> str:
    """A time as the export writes it: UTC, a space, six digits, no zone."""
    return moment.astimezone(UTC).isoformat(" ", "microseconds")[:26]


def as_line(row: Mapping[str, Any]) -> bytes:
    """One row as a line of an export member."""
    return _ENCODER.encode(row).encode("utf-8", "replace") + b"\n"


def completed(event: Mapping[str, Any], project: str) -> dict[str, Any]:
    """A whole row from the keys a caller cares about.

    Missing keys are unset as in real rows; times that are not given equal `event_time`, or
    `server_upload_time`; `uuid` and `$insert_id` follow from the content, so that equal events have
    equal ones. Times may be datetimes. Extra keys stay, after the 55.

    Raises:
        ValueError: There is neither `event_time` nor `server_upload_time`.
    """
    given = {
        key: stamp(value) if isinstance(value, datetime) else value for key, value in event.items()
    }
    moment = given.get("event_time") or given.get("server_upload_time")
    if moment is None:
        raise ValueError("an event needs event_time or server_upload_time")
    row = {**UNSET, "app": int(project) if project.isdigit() else project}
    row |= dict.fromkeys(_TIMES, given.get("server_upload_time") or moment)
    row |= {"event_time": moment, "client_event_time": moment, **given}
    digest = hashlib.sha256(as_line(row)).digest()
    row["uuid"] = row["uuid"] or str(uuid.UUID(bytes=digest[:16], version=4))
    row["$insert_id"] = row["$insert_id"] or str(uuid.UUID(bytes=digest[16:], version=4))
    return row


def hour_of_line(line: bytes) -> datetime:
    """The hour of `server_upload_time`, by which the export cuts its files.

    Raises:
        ValueError: The line has no such time.
    """
    found = _UPLOAD_HOUR.search(line)
    if found is None:
        raise ValueError("a line of events needs a server_upload_time")
    year, month, day, hour = (int(part) for part in found.groups())
    return datetime(year, month, day, hour, tzinfo=UTC)


def hour_of_name(name: str | datetime) -> datetime:
    """An hour from `20260301T00`, `2026-03-01T00` or a datetime with a time zone.

    Raises:
        ValueError: It is none of these.
    """
    if isinstance(name, datetime):
        if name.tzinfo is None:
            raise ValueError(f"an hour needs a time zone, got {name.isoformat()}")
        return name.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    found = _HOUR_NAME.match(name)
    if found is None:
        raise ValueError(f"an hour looks like 20260301T00, got {name!r}")
    year, month, day, hour = (int(part) for part in found.groups())
    return datetime(year, month, day, hour, tzinfo=UTC)
