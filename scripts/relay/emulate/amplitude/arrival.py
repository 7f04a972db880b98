"""From an uploaded event to the row that the export will show."""

import os
import random
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from relay.emulate.amplitude.checks import fewer_groups
from relay.emulate.amplitude.rows import UNSET, stamp

NO_CORRECTION = timedelta(seconds=60)
UPLOAD_DELAY = timedelta(milliseconds=8)
PROCESSING_DELAY = timedelta(seconds=2)
DEVICE_NAMESPACE = uuid.UUID("7c2f2b0a-15f6-51f1-9f53-0242ac120002")
SAME_NAME = (
    "adid",
    "city",
    "country",
    "device_brand",
    "device_manufacturer",
    "device_model",
    "dma",
    "event_id",
    "event_type",
    "idfa",
    "library",
    "location_lat",
    "location_lng",
    "os_name",
    "os_version",
    "partner_id",
    "plan",
    "platform",
    "region",
    "session_id",
    "version_name",
)
LANGUAGES = {
    "ar": "Arabic", "bg": "Bulgarian", "de": "German", "en": "English", "es": "Spanish",
    "fr": "French", "hi": "Hindi", "id": "Indonesian", "it": "Italian", "ja": "Japanese",
    "ko": "Korean", "nl": "Dutch", "pl": "Polish", "pt": "Portuguese", "ru": "Russian",
    "sv": "Swedish", "th": "Thai", "tr": "Turkish", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip


class Arrival:
    """One accepted request: what all rows of it have in common.

    Args:
        path: The API it came by.
        received: When it came.
        client_upload: The sender's clock at that moment; `received` where none was given.
    """

    def __init__(self, path: str, received: datetime, client_upload: datetime | None) -> None:
        self._received = received
        self.uploaded = received + UPLOAD_DELAY
        off = received - (client_upload or received)
        self._off = off if abs(off) >= NO_CORRECTION else None
        self._common = UNSET | {
            "client_upload_time": stamp(client_upload or received),
            "data": {
                "path": path,
                "user_properties_updated": True,
                "group_first_event": {},
                "group_ids": {},
            },
            "processed_time": stamp(self.uploaded + PROCESSING_DELAY),
            "server_received_time": stamp(received),
            "server_upload_time": stamp(self.uploaded),
        }

    def row(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """The row of an event, but for its ids and user properties.

        How the export shows top-level revenue is UNVERIFIED; it is left out.
        """
        sent = event.get("time")
        happened = self._received if sent is None else datetime.fromtimestamp(sent / 1000, UTC)
        row = dict(self._common)
        for name in SAME_NAME:
            value = event.get(name)
            if value is not None:
                row[name] = value
        row["client_event_time"] = stamp(happened)
        row["event_time"] = stamp(happened + self._off) if self._off else row["client_event_time"]
        row["event_properties"] = event.get("event_properties") or {}
        row["$insert_id"] = event.get("insert_id") or random_uuid()
        row["uuid"] = random_uuid()
        row["event_id"] = row["event_id"] or random.getrandbits(30)
        row["device_carrier"] = event.get("carrier")
        row["version_name"] = event.get("app_version") or row["version_name"]
        if "language" in event:
            tag = str(event["language"])
            row["language"] = LANGUAGES.get(tag.partition("-")[0].lower(), tag)
        if "ip" in event:
            row["ip_address"] = "127.0.0.1" if event["ip"] == "$remote" else event["ip"]
        if event.get("groups"):
            row["groups"] = fewer_groups(event["groups"])
        return row


def device_of(event: Mapping[str, Any], user: str | None) -> str:
    """The event's device; without one a UUID derived from the user id (the hash is UNVERIFIED)."""
    device = event.get("device_id")
    if device is not None:
        return str(device)
    return str(uuid.uuid5(DEVICE_NAMESPACE, user or ""))


def random_uuid() -> str:
    """A random UUID of version 4 as text."""
    text = os.urandom(16).hex()
    variant = "89ab"[int(text[16], 16) % 4]
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"
