"""MoEngage as one vendor: one workspace with its users, events and segments."""

import uuid
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from relay.emulate.clock import Clock
from relay.emulate.exchange import Answer, Call, Handler, Route, read_json
from relay.emulate.moengage import cohorts, users
from relay.emulate.moengage.file_segments import FileSegments, refusal
from relay.emulate.moengage.switches import MoengageSwitches
from relay.emulate.vendor import Vendor
from relay.emulate.windows import Window

ACCEPTED = "Your request has been accepted and will be processed soon."
MINUTE_SECONDS = 60.0
MOST_LOST = 1_000
TYPES = {
    403: "BlockedClient",
    404: "Not Found",
    405: "Method Not Allowed",
    429: "RateLimitError",
    500: "Server Error",
}
MESSAGES = {429: "Rate limit exceeded", 500: "An unexpected error occurred."}


class Moengage(Vendor):
    """The emulated MoEngage workspace.

    Args:
        clock: The time it goes by.
        workspace_id, api_key: The workspace's credentials.
        switches: Limits and behaviours.
    """

    name = "moengage"

    def __init__(
        self,
        clock: Clock,
        *,
        workspace_id: str,
        api_key: str,
        switches: MoengageSwitches | None = None,
    ) -> None:
        super().__init__(clock)
        self.switches = switches or MoengageSwitches()
        self._workspace_id = workspace_id
        self._api_key = api_key
        self.users = users.Users()
        self.cohorts = cohorts.Segments(self.users)
        self.files = FileSegments(self.users, clock, self.lock, self.switches)
        self.lost: list[dict[str, Any]] = []
        self._windows = {
            "cohort_sync": Window(self.switches.cohort_requests_a_minute, MINUTE_SECONDS),
            "customer": Window(self.switches.customers_a_minute, MINUTE_SECONDS),
            "event": Window(self.switches.events_a_minute, MINUTE_SECONDS),
            "device": Window(self.switches.devices_a_minute, MINUTE_SECONDS),
            "bulk": Window(self.switches.bulk_a_minute, MINUTE_SECONDS),
        }
        self.offer({"moengage": self._all_routes()})

    def add_users(self, known: Iterable[str | Mapping[str, Any]]) -> None:
        """Users the workspace has: ids, or attributes with `uid` (and `moe_anonymous_id`, …)."""
        with self.lock:
            for one in known:
                if isinstance(one, str):
                    self.users.known.setdefault(one, {})
                else:
                    attributes = {name: value for name, value in one.items() if name != "uid"}
                    self.users.known.setdefault(one["uid"], {}).update(attributes)

    def members(self, segment_name: str) -> set[str]:
        """The user ids in a segment made by cohort sync; empty when there is no such segment."""
        with self.lock:
            segment = self.cohorts.segments.get(segment_name)
            return set() if segment is None else set(segment.members)

    def error(self, status: int, call: Call) -> Answer:
        """MoEngage's envelope."""
        if call.path.startswith(("/v2/", "/v3/")):
            return refusal(status, TYPES.get(status, "Server Error"), MESSAGES.get(status, ""))
        return fail(status, "", MESSAGES.get(status, ""), TYPES.get(status, "Server Error"))

    def remembered(self) -> dict[str, Any]:
        """Users, events, segments, and what was accepted and then lost."""
        return {
            "users": self.users.known,
            "events": self.users.events,
            "devices": list(self.users.devices.values()),
            "segments": [segment.document() for segment in self.cohorts.segments.values()],
            "file_segments": [segment.document() for segment in self.files.segments.values()],
            "lost_after_accepting": list(self.lost),
        }

    def _all_routes(self) -> list[Route]:
        files = "/v2/custom-segments/file-segment"
        return [
            Route(
                "cohort_sync",
                "POST",
                "/v1/integrations/cohortsync",
                self._checked(self._cohort_sync, app_key=True),
            ),
            *(
                Route(
                    kind,
                    "POST",
                    f"/v1/{kind}/{{workspace_id}}",
                    self._checked(partial(self._track, kind)),
                )
                for kind in users.ELEMENT_TYPES
            ),
            Route(
                "bulk",
                "POST",
                "/v1/transition/{workspace_id}",
                self._checked(self._bulk, bulk=True),
            ),
            Route("file_create", "POST", files, self._owned(self.files.create)),
            *(
                Route("file_change", "PUT", f"{files}/{operation}", self._owned(self.files.change))
                for operation in ("add-users", "remove-users", "replace")
            ),
            *(
                Route(
                    "file_archive",
                    "PATCH",
                    f"/v2/custom-segments/{operation}",
                    self._owned(self.files.archive),
                )
                for operation in ("archive", "unarchive")
            ),
        ]

    def _checked(
        self,
        handle: Callable[[Call, Any], Answer],
        *,
        app_key: bool = False,
        bulk: bool = False,
    ) -> Handler:
        """Everything before the fields: credentials, content type, size, JSON (order is ours)."""

        def checked(call: Call) -> Answer:
            refused = self._unauthenticated(call, app_key)
            if refused is not None:
                return refused
            limit = self.switches.bulk_max_bytes if bulk else self.switches.max_bytes
            if call.header(b"content-type") is None:
                return fail(400, "", "Content-Type header required", "Content-Type required")
            if call.content_type != "application/json":
                return fail(415, "", "Content type is not supported", "Unsupported content type")
            if len(call.body) > limit:
                text = f"Payload can not exceed {limit // 1000}KB"
                return fail(413, "", text, "Payload too large")
            try:
                document = read_json(call.body)
            except ValueError:
                text = (
                    "Could not decode the request body. "
                    "The JSON was incorrect or not encoded as UTF-8."
                )
                return fail(400, "", text, "Malformed JSON")
            return handle(call, document)

        return checked

    def _owned(self, handle: Callable[[Call], Answer]) -> Handler:
        """The checks of the segment endpoints: Basic auth and `MOE-DBNAME`."""

        def checked(call: Call) -> Answer:
            if call.basic_auth != (self._workspace_id, self._api_key):
                return refusal(401, "Unauthorized", "Authentication required")
            if not call.header(b"moe-dbname"):
                return refusal(400, "Invalid Request", "MOE-DBNAME header required")
            return handle(call)

        return checked

    def _unauthenticated(self, call: Call, app_key: bool) -> Answer | None:
        auth = call.basic_auth
        if auth is None:
            text = "Authentication Header Required"
            return fail(401, "", text, "Authentication required")
        if auth != (self._workspace_id, self._api_key):
            text = "App Secret key mismatch. Please login to the dashboard to verify key"
            return fail(401, "", text, "Authentication required")
        if app_key and call.header(b"moe-appkey") != self._workspace_id:
            return fail(401, "MOE-APPKEY", "MOE-APPKEY header required", "Authentication required")
        if call.parameters.get("workspace_id", self._workspace_id) != self._workspace_id:
            return fail(409, "", "Authentication Mismatch", "Authentication Mismatch")
        return None

    def _cohort_sync(self, call: Call, document: Any) -> Answer:
        wrong = cohorts.problem_of(document)
        if wrong is not None:
            return fail(400, *wrong)
        limited = self._limited("cohort_sync", 1)
        if limited is not None:
            return limited
        self.cohorts.apply(document)
        return self._accepted("cohort_sync")

    def _track(self, kind: str, call: Call, document: Any) -> Answer:
        wrong = users.problem_of(document, self.clock.now())
        if wrong is None and document["type"] != kind:
            wrong = ("type", f"type must be {kind}", "InvalidParams")
        if wrong is not None:
            return fail(400, *wrong)
        limited = self._limited(kind, len(document.get("actions", "1")))
        if limited is not None:
            return limited
        self.users.apply(document)
        return self._accepted(kind)

    def _bulk(self, call: Call, document: Any) -> Answer:
        elements = document.get("elements") if isinstance(document, dict) else None
        if not isinstance(elements, list) or not elements or document.get("type") != "transition":
            text = "elements cannot be empty array"
            return fail(400, "elements", text, "MissingAttributeError")
        now = self.clock.now()
        wrong = [(element, users.problem_of(element, now)) for element in elements]
        if self.switches.bulk_reports_errors:
            for _, problem in wrong:
                if problem is not None:
                    return fail(400, *problem)
        limited = self._limited("bulk", len(elements))
        if limited is not None:
            return limited
        for element, problem in wrong:
            if problem is None:
                self.users.apply(element)
            elif len(self.lost) < MOST_LOST:
                self.lost.append({"attribute": problem[0], "message": problem[1]})
        return self._accepted("bulk")

    def _limited(self, window: str, units: int) -> Answer | None:
        if self._windows[window].take(self.clock.elapsed(), units):
            return None
        text = "Rate limits for customers exceeded. Please Try After Some Time"
        return fail(429, "", text, "Rate Limits Exceeded", self._rate_headers(window))

    def _accepted(self, window: str) -> Answer:
        document = {"status": "success", "message": ACCEPTED, "request_id": uuid.uuid4().hex}
        return Answer.of(document, headers=self._rate_headers(window))

    def _rate_headers(self, name: str) -> dict[str, str]:
        window, now = self._windows[name], self.clock.elapsed()
        if window.limit is None:
            return {}
        left = min(int(window.reset_after(now)) + 1, int(MINUTE_SECONDS))
        if self.switches.reset_header == "epoch":
            left += int(self.clock.now().timestamp())
        return {
            "x-ratelimit-limit": str(window.limit),
            "x-ratelimit-remaining": str(window.remaining(now)),
            "x-ratelimit-reset": str(left),
        }


def fail(
    status: int,
    attribute: str,
    message: str,
    kind: str,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """MoEngage's failure body."""
    error = {
        "attribute": attribute,
        "message": message,
        "type": kind,
        "request_id": uuid.uuid4().hex,
    }
    return Answer.of({"status": "fail", "error": error}, status, headers=headers)
