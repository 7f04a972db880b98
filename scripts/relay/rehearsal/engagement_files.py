"""MoEngage's and CleverTap's files about a list of engagements."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from relay.rehearsal.archives import gzip_lines
from relay.rehearsal.engagement import Engagement
from relay.rehearsal.noise import noise, uuid_text

MOENGAGE_BATCH = 100  # the most events of a Streams request
CAMPAIGN_NAME = 'Monsoon sale: 20 % off "everything" ☔'
DATABASE_ID = 4_711


def moengage_bodies(events: Sequence[Engagement]) -> Iterator[bytes]:
    """Streams request bodies as MoEngage posts them: up to 100 events each.

    The first one comes again at the end, as after an answer that got lost: same request id, same
    events.
    """
    bodies = [
        _compact(
            {
                "app_name": "Shop",
                "source": "MOENGAGE",
                "moe_request_id": uuid_text(*events[start].event_id.encode(), 111),
                "events": [
                    moengage_event(event) for event in events[start : start + MOENGAGE_BATCH]
                ],
            }
        ).encode()
        for start in range(0, len(events), MOENGAGE_BATCH)
    ]
    yield from bodies
    yield from bodies[:1]


def moengage_export(events: Sequence[Engagement]) -> bytes:
    """The same events as a cloud export file: gzip, one a line."""
    return gzip_lines(
        _compact(
            {
                "app_name": "Shop",
                "export_hour": f"{event.at:%H}",
                "export_day": f"{event.at:%Y-%m-%d}",
                "export_doc_id": event.event_id.replace("-", "")[:24],
                "db_name": "Shop",
                "event": moengage_event(event),
            }
        )
        for event in events
    )


def moengage_event(event: Engagement) -> dict[str, Any]:
    """An event object of MoEngage; `uid` is null for the anonymous."""
    number = noise(*event.event_id.encode(), 112)
    channel = "Email" if event.event_code.startswith("MOE_EMAIL") else "Push"
    document: dict[str, Any] = {
        "event_name": event.event_name,
        "event_code": event.event_code,
        "event_uuid": event.event_id,
        "event_time": int(event.at.timestamp()),
        "event_type": "CAMPAIGN_EVENT",
        "event_source": "MOENGAGE",
    }
    if channel == "Email":
        document["email_id"] = f"shopper{number % 1000}@mail.example"
    else:
        document["push_id"] = f"push-{number:016x}"
    user: dict[str, Any] = {"moengage_user_id": f"{number:016x}{number % 10**8:08x}"}
    if event.device is not None:
        user["moe_anonymous_id"] = event.device
    return document | {
        "uid": event.identity,
        "event_attributes": {
            "campaign_id": f"cmp-{event.at:%Y%m%d}",
            "campaign_name": CAMPAIGN_NAME,
            "campaign_type": "One-time",
            "campaign_channel": channel,
            "parent_flow_id": "flow-7",
            "parent_flow_name": "Zurückgewinnen",
            "variation_id": str(1 + number % 2),
            "locale_id": "0",
            "locale_name": "Default",
        },
        "user_attributes": user,
        "device_attributes": {"moengage_device_id": f"moe-{number % 10**9}"},
    }


def clevertap_exports(
    events: Sequence[Engagement], *, run_at: datetime, time_zone: str = "UTC"
) -> Iterator[tuple[str, bytes]]:
    """CleverTap export files, (name, bytes): one event name each, the name in the first line.

    A second file of the first event repeats the tail of the first one, as overlapping exports do.

    Args:
        events: In any order.
        run_at: When the export ran; part of the names.
        time_zone: Zone of the CleverTap project, in which `ts` is written (UNVERIFIED; a setting).
    """
    zone = ZoneInfo(time_zone)

    def name_of(event: Engagement) -> str:
        return event.event_name

    for place, (name, group) in enumerate(groupby(sorted(events, key=name_of), name_of)):
        rows = [clevertap_row(event, zone) for event in group for _ in range(event.count)]
        parts = [rows, rows[-max(len(rows) // 4, 1) :]] if place == 0 else [rows]
        for index, part in enumerate(parts):
            yield _clevertap_name(name, run_at, index), gzip_lines([name, *part])


def clevertap_row(event: Engagement, zone: ZoneInfo) -> str:
    """A line of a CleverTap export file."""
    profile: dict[str, Any] = {"platform": "Android", "name": "—"}
    if event.identity is not None:
        profile["identity"] = event.identity
    if event.device is not None:
        profile["objectId"] = event.device
    properties: dict[str, Any] = {
        "Campaign id": f"{event.at:%j}77_{event.at:%Y%m%d}",
        "Campaign name": CAMPAIGN_NAME,
        "Campaign type": "Push",
        "CT Source": "Mobile",
        "Variant": "A",
    }
    if event.event_name == "Notification Clicked":
        properties["wzrk_id"] = properties.pop("Campaign id")
        properties["Campaigntype"] = properties.pop("Campaign type")
    return _compact(
        {
            "profile": profile,
            "ts": int(event.at.astimezone(zone).strftime("%Y%m%d%H%M%S")),
            "eventName": event.event_name,
            "eventProps": properties,
        }
    )


def _clevertap_name(event_name: str, run_at: datetime, index: int) -> str:
    """`<request>-<run>-<event>-<day>-<index>-<database>.json.gz`; blanks become hyphens."""
    run = run_at.astimezone(UTC)
    event = "-".join(event_name.split())
    return f"88001-{int(run.timestamp())}-{event}-{run:%Y%m%d}-{index}-{DATABASE_ID}.json.gz"


def _compact(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
