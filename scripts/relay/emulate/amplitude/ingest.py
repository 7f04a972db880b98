"""Amplitude's HTTP V2 and Batch APIs: events in, whole requests or nothing."""

import json
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from relay.emulate.amplitude.arrival import Arrival, device_of
from relay.emulate.amplitude.checks import (
    INVALID,
    LENGTHS,
    MISSING,
    cut,
    problems_of,
)
from relay.emulate.amplitude.export import EventStore
from relay.emulate.amplitude.organisation import Organisation, apply_operators, operators
from relay.emulate.amplitude.rows import as_line
from relay.emulate.amplitude.switches import AmplitudeSwitches
from relay.emulate.clock import Clock
from relay.emulate.exchange import Answer, Call, read_json

Api = Literal["http", "batch"]

SHORTEST_ID = 5
ERRORS = {
    MISSING: "Request missing required field",
    INVALID: "Invalid field values on some events",
    LENGTHS: "Invalid id length for user_id or device_id",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one of the two APIs."""

    path: str
    max_bytes: int
    max_events: int
    events_per_second: float
    window_seconds: float


class Ingestion:
    """Takes events in and makes them rows of the export.

    A 400, 413 or 429 stores nothing of its request (implied by Amplitude's SDKs, not written).
    """

    def __init__(
        self,
        store: EventStore,
        organisation: Organisation,
        clock: Clock,
        switches: AmplitudeSwitches,
        projects: Mapping[str, tuple[str, str]],
    ) -> None:
        self._store = store
        self._organisation = organisation
        self._clock = clock
        self._switches = switches
        self._projects = projects
        self._seen: dict[tuple[str, str, str], datetime] = {}
        self._recent: dict[tuple[str, str, str], deque[tuple[float, int]]] = {}
        self.silenced_devices: set[str] = set()
        self.over_quota: dict[str, int] = {}
        self.taken: list[bytes] = []
        self.duplicates = 0
        self.identifies = 0
        self.odd_keys: Counter[str] = Counter()

    def http(self, call: Call) -> Answer:
        """`POST /2/httpapi`: fewer than 2,000 events, up to 1 MB."""
        switches = self._switches
        return self._take(
            call,
            "http",
            Limits(
                "/2/httpapi",
                switches.http_max_bytes,
                1_999,
                switches.http_events_per_second,
                switches.http_window_seconds,
            ),
        )

    def batch(self, call: Call) -> Answer:
        """`POST /batch`: up to 2,000 events and 20 MB."""
        switches = self._switches
        return self._take(
            call,
            "batch",
            Limits(
                "/batch",
                switches.batch_max_bytes,
                2_000,
                switches.batch_events_per_second,
                switches.batch_window_seconds,
            ),
        )

    def rows(self) -> list[dict[str, Any]]:
        """The events taken in so far as rows of the export, in the order they came."""
        return [json.loads(line) for line in self.taken]

    def _take(self, call: Call, api: Api, limits: Limits) -> Answer:
        if len(call.body) > limits.max_bytes:
            return refusal(413, "Payload too large")
        request = self._request(call)
        if isinstance(request, Answer):
            return request
        project, events, options, client_upload = request
        if len(events) > limits.max_events:
            return refusal(413, "Payload too large")
        if not all(isinstance(event, dict) for event in events):
            return refusal(400, "Invalid event JSON")
        shortest = options.get("min_id_length", SHORTEST_ID)
        drop = api == "batch" and self._switches.short_ids_in_batch == "drop"
        problems, odd = problems_of(events, shortest_id=shortest, drop_short_ids=drop)
        ordered = [position for position in call.refused if position < len(events)]
        if ordered:
            problems.setdefault(INVALID, {}).setdefault("time", []).extend(ordered)
        for kind in (MISSING, INVALID, LENGTHS):
            if kind in problems:
                return refusal(400, ERRORS[kind], {kind: self._reported(problems[kind])})
        refused = self._silenced(events) or self._throttled(project, api, events, limits)
        if refused is not None:
            return refused
        self.odd_keys.update(odd)
        return self._stored(call, limits.path, project, events, client_upload)

    def _request(
        self, call: Call
    ) -> tuple[str, list[Any], dict[str, Any], datetime | None] | Answer:
        """Project, events, options and `client_upload_time` of a body, or what is wrong with it.

        A content type other than JSON is refused like a body that is not JSON (our choice).
        """
        if not call.body:
            return refusal(400, "Missing request body")
        try:
            document = read_json(call.body)
        except ValueError:
            document = None
        if not isinstance(document, dict) or call.content_type != "application/json":
            return refusal(400, "Invalid JSON request body")
        for name in ("api_key", "events"):
            if not document.get(name):
                return refusal(400, ERRORS[MISSING], {"missing_field": name})
        api_key, events = document["api_key"], document["events"]
        if not isinstance(api_key, str) or api_key not in self._projects:
            return refusal(400, f"Invalid API key: {api_key}")
        if not isinstance(events, list):
            return refusal(400, "Invalid event JSON")
        options = document.get("options") or {}
        if not isinstance(options, dict) or type(options.get("min_id_length", 1)) is not int:
            return refusal(400, ERRORS[INVALID])
        uploaded = document.get("client_upload_time")
        moment = None
        if isinstance(uploaded, str):
            try:
                moment = datetime.fromisoformat(uploaded)
            except ValueError:
                return refusal(400, "Invalid JSON request body")
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return self._projects[api_key][1], events, options, moment

    def _reported(self, fields: dict[str, list[int]]) -> dict[str, list[int]]:
        if self._switches.index_reporting == "all":
            return fields
        return {name: indices[:1] for name, indices in fields.items()}

    def _silenced(self, events: list[dict[str, Any]]) -> Answer | None:
        silenced = [
            index
            for index, event in enumerate(events)
            if event.get("device_id") in self.silenced_devices
        ]
        if not silenced:
            return None
        devices = sorted({events[index]["device_id"] for index in silenced})
        return refusal(
            400,
            "Events silenced for device_id",
            {"silenced_devices": devices, "silenced_events": silenced},
        )

    def _throttled(
        self, project: str, api: Api, events: list[dict[str, Any]], limits: Limits
    ) -> Answer | None:
        """The 429 of a device or user that sends too fast; else these events count."""
        now = self._clock.elapsed()
        counted = Counter(
            (name, str(event[name]))
            for event in events
            for name in ("device_id", "user_id")
            if event.get(name) is not None
        )
        allowed = limits.events_per_second * limits.window_seconds
        throttled: dict[str, dict[str, int]] = {"device_id": {}, "user_id": {}}
        quota: dict[str, dict[str, int]] = {"device_id": {}, "user_id": {}}
        for (name, value), count in counted.items():
            if value in self.over_quota:
                quota[name][value] = self.over_quota[value]
            recent = self._recent.get((project + api, name, value))
            while recent and now - recent[0][0] >= limits.window_seconds:
                recent.popleft()
            sent = count + sum(number for _, number in recent or ())
            if sent > allowed:
                throttled[name][value] = round(sent / limits.window_seconds)
        slow = {**throttled["device_id"], **quota["device_id"]}
        slow_users = {**throttled["user_id"], **quota["user_id"]}
        if not slow and not slow_users:
            for (name, value), count in counted.items():
                key = (project + api, name, value)
                self._recent.setdefault(key, deque()).append((now, count))
            return None
        return too_fast(
            int(limits.events_per_second),
            throttled,
            quota,
            [
                index
                for index, event in enumerate(events)
                if str(event.get("device_id")) in slow or str(event.get("user_id")) in slow_users
            ],
        )

    def _stored(
        self,
        call: Call,
        path: str,
        project: str,
        events: list[dict[str, Any]],
        client_upload: datetime | None,
    ) -> Answer:
        self._organisation.learn(self._store.unread())
        received = self._clock.now()
        arrival = Arrival(path, received, client_upload)
        hour = self._store.hour(
            project, arrival.uploaded.replace(minute=0, second=0, microsecond=0)
        )
        ingested = 0
        for event in events:
            user = None if event.get("user_id") is None else str(event["user_id"])
            device = device_of(event, user)
            if self._is_duplicate(project, device, event.get("insert_id"), received):
                self.duplicates += 1
                ingested += self._switches.count_duplicates
                continue
            ingested += 1
            amplitude_id = self._organisation.assign(device, user, received)
            properties = self._properties(project, amplitude_id, event)
            if event["event_type"] in ("$identify", "$groupidentify"):
                self.identifies += 1
                continue
            row = arrival.row(event)
            row["app"] = int(project) if project.isdigit() else project
            row["amplitude_id"] = amplitude_id
            row["user_id"] = user
            row["device_id"] = device
            row["user_properties"] = properties
            line = as_line(row)
            if len(line) > 2_000:
                line = as_line(cut(row))
            hour.lines.append(line)
            self.taken.append(line)
        return Answer.of(
            {
                "code": 200,
                "server_upload_time": int(arrival.uploaded.timestamp() * 1000),
                "payload_size_bytes": len(call.body),
                "events_ingested": ingested,
            }
        )

    def _is_duplicate(
        self, project: str, device: str, insert_id: str | None, now: datetime
    ) -> bool:
        if not insert_id:
            return False
        scope = device if self._switches.insert_id_scope == "device" else ""
        key = (project, scope, insert_id)
        seen = self._seen.get(key)
        if seen is not None and now - seen < timedelta(days=self._switches.dedupe_days):
            return True
        self._seen[key] = now
        return False

    def _properties(
        self, project: str, amplitude_id: int, event: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The user properties of the row; unless it is told not to, an event changes the stored."""
        own = event.get("user_properties") or {}
        if event.get("$skip_user_properties_sync"):
            return dict(own)
        held = self._organisation.properties.setdefault((project, amplitude_id), {})
        if operators(own):
            apply_operators(held, own)
        else:
            held.update(own)
        return dict(held)


def refusal(status: int, error: str, more: Mapping[str, Any] | None = None) -> Answer:
    """The error body of the two APIs."""
    return Answer.of({"code": status, "error": error, **(more or {})}, status)


def too_fast(
    threshold: int,
    throttled: Mapping[str, dict[str, int]],
    quota: Mapping[str, dict[str, int]],
    events: list[int],
) -> Answer:
    """The 429 of the two APIs."""
    return refusal(
        429,
        "Too many requests for some devices and users",
        {
            "eps_threshold": threshold,
            "throttled_devices": throttled.get("device_id", {}),
            "throttled_users": throttled.get("user_id", {}),
            "throttled_events": events,
            "exceeded_daily_quota_users": quota.get("user_id", {}),
            "exceeded_daily_quota_devices": quota.get("device_id", {}),
        },
    )
