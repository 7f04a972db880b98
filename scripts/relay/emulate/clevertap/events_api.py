"""CleverTap's events API: ask for an event's days, then follow a cursor through the pages."""

import base64
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import quote, unquote
from zoneinfo import ZoneInfo

from relay.emulate.clevertap.profiles import Memory
from relay.emulate.clevertap.records import same_event
from relay.emulate.clevertap.switches import ClevertapSwitches
from relay.emulate.clock import Clock
from relay.emulate.exchange import Answer, Call, Refuse, read_json

PAGE_MULTIPLE = 23
LARGEST_PAGE = 5_000
DEFAULT_PAGE = 500
CURSOR_BYTES = 1_200
BUSY_SECONDS = 30.0
IN_PROGRESS = {
    "status": "fail",
    "error": "Request still in progress, please retry later",
    "code": 2,
}
INCORRECT = {"status": "fail", "error": "Incorrect Usage", "code": 3}
# Only to be had as files; compared without case and spaces.
FILES_ONLY = frozenset(
    same_event(name)
    for name in (
        "Notification Sent",
        "Notification Viewed",
        "Notification Clicked",
        "Notification Delivered",
        "Notification Replied",
        "Notification Bounced",
        "Push Impressions",
    )
)


@dataclass(frozen=True, slots=True)
class Served:
    """One event that the API can serve."""

    at: datetime
    record: Mapping[str, Any]


@dataclass(slots=True)
class _Walk:
    """One page that is asked for: what is left, and how often to say `still in progress`."""

    left: list[Mapping[str, Any]]
    page: int
    progress_left: int
    created: float
    used: float


@dataclass(slots=True)
class EventsApi:
    """The answers of `/1/events.json`."""

    memory: Memory
    clock: Clock
    switches: ClevertapSwitches
    _served: dict[str, list[Served]] = field(default_factory=dict)
    _walks: dict[str, _Walk] = field(default_factory=dict)

    def add(self, name: str, events: Iterable[Mapping[str, Any]]) -> int:
        """Events for the API to serve, under their exact name; how many.

        Each has `ts` (a datetime with a time zone, or epoch seconds), `identity` or `objectId` or
        both, and may have `event_props`, `session_props` and `profile`.
        """
        held = self._served.setdefault(name, [])
        before = len(held)
        for event in events:
            moment = event["ts"]
            at = moment if isinstance(moment, datetime) else datetime.fromtimestamp(moment, UTC)
            ids = {key: event[key] for key in ("objectId", "identity") if event.get(key)}
            record = {
                "profile": {**ids, **event.get("profile", {})},
                "event_props": event.get("event_props", {}),
            }
            if "session_props" in event:
                record["session_props"] = event["session_props"]
            held.append(Served(at, record))
        return len(held) - before

    def begin(self, call: Call, refuse: Refuse) -> Answer:
        """`POST /1/events.json`: a cursor for an event and its days, or for a cursor its page."""
        if call.parameter("cursor") is not None:
            return self.page(call)
        try:
            document = read_json(call.body)
        except ValueError:
            return refuse(400, "Malformed request")
        asked = _asked(document)
        size = _page_size(call.parameter("batch_size"))
        if asked is None or size is None:
            return Answer.of(INCORRECT)
        name, first, last, filters = asked
        if same_event(name) in FILES_ONLY:
            return refuse(400, "Export not allowed for this event")
        events = self._events(name)
        if events is None:
            error = json.dumps([f"Invalid event : {name}"])
            return Answer.of({"status": "fail", "error": error, "code": 400})
        now = self.clock.elapsed()
        if any(
            walk.progress_left and now - walk.used < BUSY_SECONDS for walk in self._walks.values()
        ):
            return Answer.of(IN_PROGRESS)
        records: list[Mapping[str, Any]] = [
            self._printed(served, call)
            for served in events
            if first <= served.at.astimezone(self._zone()).date() <= last
            and all(served.record["event_props"].get(key) == value for key, value in filters)
        ]
        return Answer.of({"status": "success", "cursor": self._cursor(records, size, now)})

    def page(self, call: Call) -> Answer:
        """`GET /1/events.json?cursor=…`: not ready a few times, then the page."""
        now = self.clock.elapsed()
        walk = self._walks.get(call.parameter("cursor") or "")
        if walk is None or (
            now - walk.created > self.switches.events_cursor_seconds
            or now - walk.used > self.switches.events_cursor_idle_seconds
        ):
            return Answer.of(INCORRECT)
        walk.used = now
        if walk.progress_left:
            walk.progress_left -= 1
            return Answer.of(IN_PROGRESS)
        document: dict[str, Any] = {"status": "success"}
        if walk.left:
            document["records"] = walk.left[: walk.page]
        if len(walk.left) > walk.page:
            document["next_cursor"] = self._cursor(walk.left[walk.page :], walk.page, now)
        return Answer.of(document)

    def _cursor(self, left: list[Mapping[str, Any]], page: int, now: float) -> str:
        """A fresh cursor, percent-encoded already, as the service gives it."""
        cursor = quote("+/" + base64.b64encode(secrets.token_bytes(CURSOR_BYTES)).decode(), safe="")
        progress = self.switches.events_in_progress
        self._walks[unquote(cursor)] = _Walk(left, page, progress, now, now)
        return cursor

    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.switches.timezone)

    def _events(self, name: str) -> list[Served] | None:
        """Events by exact name: those put in and those uploaded; None for an unknown name."""
        uploaded = [event for event in self.memory.events if event.name == name]
        if name not in self._served and not uploaded:
            return None
        return self._served.get(name, []) + [
            Served(
                datetime.fromtimestamp(event.ts, UTC),
                {"profile": self._profile(event.profile), "event_props": event.data},
            )
            for event in uploaded
        ]

    def _profile(self, number: int) -> dict[str, Any]:
        keys = dict(self.memory.profiles[number].keys) if number in self.memory.profiles else {}
        names = {"object_id": "objectId", "identity": "identity"}
        return {names[kind]: value for kind, value in keys.items() if kind in names}

    def _printed(self, served: Served, call: Call) -> dict[str, Any]:
        """A record as the API prints it: `ts` is a number of 14 digits in the project's zone."""
        profile = dict(served.record["profile"])
        if call.parameter("profile") == "false":
            profile = {key: profile[key] for key in ("objectId", "identity") if key in profile}
        if call.parameter("events") == "false":
            profile.pop("events", None)
        local = served.at.astimezone(self._zone())
        printed = {"profile": profile, "ts": int(local.strftime("%Y%m%d%H%M%S"))}
        return printed | {key: value for key, value in served.record.items() if key != "profile"}


def _asked(document: Any) -> tuple[str, date, date, list[tuple[str, Any]]] | None:
    """Event name, first and last day, and equality filters; None if the request is not right.

    Operators other than `equals` are not emulated.
    """
    if not isinstance(document, dict) or not isinstance(document.get("event_name"), str):
        return None
    days = [_day(document.get(name)) for name in ("from", "to")]
    first, last = days
    if first is None or last is None or first > last:
        return None
    filters: list[tuple[str, Any]] = []
    for one in document.get("event_properties") or document.get("props") or ():
        if not isinstance(one, dict) or one.get("operator") != "equals":
            return None
        filters.append((str(one.get("name")), one.get("value")))
    return document["event_name"], first, last, filters


def _day(value: Any) -> date | None:
    if type(value) is not int:
        return None
    try:
        return datetime.strptime(str(value), "%Y%m%d").date()  # noqa: DTZ007  (a day, no moment)
    except ValueError:
        return None


def _page_size(text: str | None) -> int | None:
    """Records in a page: multiples of 23, under 23 all of them; None where it is too large."""
    if text is None:
        return DEFAULT_PAGE // PAGE_MULTIPLE * PAGE_MULTIPLE
    if not text.isdigit() or not 0 < int(text) <= LARGEST_PAGE:
        return None
    size = int(text)
    return size // PAGE_MULTIPLE * PAGE_MULTIPLE if size >= PAGE_MULTIPLE else 1 << 31
