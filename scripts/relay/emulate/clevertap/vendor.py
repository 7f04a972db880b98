"""CleverTap as one vendor: one account, its uploads and custom lists, and what they amount to."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from relay.emulate.clevertap.custom_lists import CustomLists
from relay.emulate.clevertap.events_api import EventsApi
from relay.emulate.clevertap.profiles import KEY_TYPES, Key, Membership, Memory, Profile
from relay.emulate.clevertap.records import IDENTITY_KEYS, doubts, verdict
from relay.emulate.clevertap.switches import ClevertapSwitches
from relay.emulate.clock import Clock
from relay.emulate.exchange import Answer, Call, Handler, Route, read_json
from relay.emulate.files import Files
from relay.emulate.vendor import Vendor

JSON_UTF8 = "application/json;charset=utf-8"
UPLOADS, OTHERS = "uploads", "others"
MOST_WARNINGS = 1_000
OTHER_ERROR = (555, "Something went wrong. ErrorCode: 555 - Other server error. ")
MESSAGES = {
    404: "Not Found",
    405: "Method Not Allowed",
    429: "Too many concurrent requests",
    503: "Service Unavailable",
}


class Clevertap(Vendor):
    """The emulated CleverTap account.

    Upload a `Partner Sync` event and the answer is 513 unless
    `switches.partner_sync_restricted` is False: see `ClevertapSwitches`.

    Args:
        clock: The time it goes by.
        files: The bucket custom lists are put to.
        account_id, passcode: The account's credentials.
        switches: Limits and behaviours.
    """

    name = "clevertap"

    def __init__(
        self,
        clock: Clock,
        files: Files,
        *,
        account_id: str,
        passcode: str,
        switches: ClevertapSwitches | None = None,
    ) -> None:
        super().__init__(clock)
        self.switches = switches or ClevertapSwitches()
        self._account_id = account_id
        self._passcode = passcode
        self.memory = Memory(folded=self.switches.identity_ignores_case)
        self.lists = CustomLists(self.memory, files, self.switches)
        self.events_api = EventsApi(self.memory, clock, self.switches)
        self.warnings: list[dict[str, Any]] = []
        self.dry_runs = 0
        self.offer(
            {
                "clevertap": [
                    Route(
                        "upload",
                        "POST",
                        "/1/upload",
                        self._checked(self._upload),
                        UPLOADS,
                        lambda call: "upload.dry_run" if _is_dry(call) else "upload",
                        ("upload.dry_run",),
                        partial=True,
                    ),
                    Route(
                        "list_url",
                        "POST",
                        "/get_custom_list_segment_url",
                        self._checked(lambda call: self.lists.address()),
                        OTHERS,
                    ),
                    Route(
                        "list_completed",
                        "POST",
                        "/upload_custom_list_segment_completed",
                        self._checked(lambda call: self.lists.complete(call, self.refuse)),
                        OTHERS,
                    ),
                    Route(
                        "events",
                        "POST",
                        "/1/events.json",
                        self._checked(lambda call: self.events_api.begin(call, self.refuse)),
                        OTHERS,
                    ),
                    Route(
                        "events_page",
                        "GET",
                        "/1/events.json",
                        self._checked(self.events_api.page),
                        OTHERS,
                    ),
                ]
            }
        )

    def add_profile(
        self, *, identity: str | None = None, object_id: str | None = None, **data: Any
    ) -> Profile:
        """A profile that is there before anything is sent; with both keys, one profile for both.

        Given both keys of two profiles, the profiles become one: a sign-in on a known device.

        Raises:
            ValueError: Neither key is given.
        """
        keys: list[Key] = []
        if identity is not None:
            keys.append(("identity", identity))
        if object_id is not None:
            keys.append(("object_id", object_id))
        if not keys:
            raise ValueError("a profile needs an identity or an object id")
        with self.lock:
            profile = self.memory.find_or_create(keys[0])
            for key in keys[1:]:
                self.memory.link(profile, key)
            profile.data |= data
            return profile

    def add_events(self, name: str, events: Iterable[Mapping[str, Any]]) -> int:
        """Events for the events API to serve, see `EventsApi.add`; how many."""
        with self.lock:
            return self.events_api.add(name, events)

    def members(self, segment_id: str) -> set[Key]:
        """Who is in a segment by `Partner Sync` events: (key type, value as last sent).

        Per profile the event with the latest `ts` counts, of equal ones the last to arrive.
        Key types are `identity` and `object_id`.
        """
        with self.lock:
            return {said.key for said in self.memory.members(segment_id).values()}

    def list_members(self, name: str) -> set[Key]:
        """Who is in a custom list: (key type, value as listed)."""
        with self.lock:
            held = self.lists.lists.get(name)
            return set() if held is None else set(held.members.values())

    def doubled(self) -> list[dict[str, Any]]:
        """Events stored more than once, word for word, with how often."""
        with self.lock:
            return [
                {"key": list(event.key), "name": event.name, "ts": event.ts, "copies": copies}
                for event, copies in self.memory.doubled()
            ]

    def pools(self) -> Mapping[str, int]:
        """15 uploads at once, 3 of everything else together."""
        return {UPLOADS: self.switches.uploads_in_flight, OTHERS: self.switches.others_in_flight}

    def error(self, status: int, call: Call) -> Answer:
        """CleverTap's envelope; its texts where one is recorded."""
        return self.refuse(status, MESSAGES.get(status, "An unknown error occurred"))

    def refuse(self, status: int, details: str) -> Answer:
        """The envelope of a failure with HTTP status and code alike."""
        document = {"status": "fail", "error": details, "code": status}
        return Answer.of(document, status, content_type=JSON_UTF8)

    def remembered(self) -> dict[str, Any]:
        """Profiles, events, segments by id, custom lists, doubled events and warnings."""
        memory = self.memory
        return {
            "profiles": [profile.document() for profile in memory.profiles.values()],
            "events": [
                {
                    "profile": event.profile,
                    "key_type": event.key[0],
                    "key_value": event.key[1],
                    "evtName": event.name,
                    "ts": event.ts,
                    "evtData": event.data,
                }
                for event in memory.events
            ],
            "segments": {
                segment: [_member(said) for said in memory.members(segment).values()]
                for segment in memory.segments
            },
            "custom_lists": [held.document() for held in self.lists.lists.values()],
            "doubled": self.doubled(),
            "dry_runs": self.dry_runs,
            "warnings": list(self.warnings),
        }

    def _checked(self, handle: Callable[[Call], Answer]) -> Handler:
        """Credentials, then requests in flight, then the handler."""

        def checked(call: Call) -> Answer:
            if call.header(b"x-clevertap-account-id") != self._account_id:
                return self.refuse(401, "Account ID is not valid")
            if call.header(b"x-clevertap-passcode") != self._passcode:
                return self.refuse(401, "Invalid Credentials")
            if call.crowded:
                return self.refuse(429, MESSAGES[429])
            return handle(call)

        return checked

    def _upload(self, call: Call) -> Answer:
        """`POST /1/upload`: a verdict on each record, in order; always 200 once it is readable."""
        switches = self.switches
        if len(call.body) >= switches.max_bytes:
            return self.refuse(413, "Payload too large")
        if call.content_type != "application/json":
            return self.refuse(400, "Malformed request")
        try:
            document = read_json(call.body)
        except ValueError:
            return self.refuse(400, "Malformed request")
        records = document.get("d") if isinstance(document, dict) else None
        if not isinstance(records, list) or not 0 < len(records) <= switches.max_records:
            return self.refuse(400, "Malformed request")
        dry = _is_dry(call)
        self.dry_runs += dry
        unprocessed: list[dict[str, Any]] = []
        for position, record in enumerate(records):
            refusal = OTHER_ERROR if position in call.refused else verdict(record, switches)
            if refusal is not None:
                code, text = refusal
                unprocessed.append(
                    {
                        "status": "fail",
                        "code": code,
                        "error": f"{text}Skipped record number : {position + 1}",
                        "record": echoed(record),
                    }
                )
            elif not dry:
                self._store(record)
        processed = len(records) - len(unprocessed)
        status = "fail" if not processed else "partial" if unprocessed else "success"
        answer = {"status": status, "processed": processed, "unprocessed": unprocessed}
        return Answer.of(answer, content_type=JSON_UTF8)

    def _store(self, record: Mapping[str, Any]) -> None:
        for doubt in doubts(record):
            if len(self.warnings) < MOST_WARNINGS:
                self.warnings.append({"warning": doubt, "type": record["type"]})
        key = key_of(record)
        kind = record["type"]
        if kind == "event":
            ts = record.get("ts") or int(self.clock.now().timestamp())
            self.memory.raise_event(key, record["evtName"], ts, record["evtData"])
        elif kind == "profile":
            profile = self.memory.find_or_create(key)
            data = dict(record["profileData"])
            named = data.pop("identity", None)
            if isinstance(named, str) and named:
                self.memory.link(profile, ("identity", named))
            for problem in self.memory.update(profile, data):
                self.warnings.append({"warning": problem, "type": kind})
        else:
            profile = self.memory.find_or_create(key)
            profile.data.setdefault("tokens", []).append(record["tokenData"])


def key_of(record: Mapping[str, Any]) -> Key:
    """The key of an accepted record: type and value."""
    for name in IDENTITY_KEYS:
        value = record.get(name)
        if value:
            return KEY_TYPES[name], value
    raise AssertionError("an accepted record has an identity")


def echoed(record: Any) -> Any:
    """The record as the service sends it back: not always what was sent.

    A phone number that can be read comes back as a number, as in the recorded answers.
    """
    if not isinstance(record, dict) or not isinstance(record.get("profileData"), dict):
        return record
    phone = record["profileData"].get("Phone")
    if not isinstance(phone, str) or not phone.removeprefix("+").isdigit():
        return record
    data = record["profileData"] | {"Phone": int(phone.removeprefix("+"))}
    return record | {"profileData": data}


def _is_dry(call: Call) -> bool:
    return call.parameter("dryRun") in ("1", "true")


def _member(said: Membership) -> dict[str, Any]:
    return {
        "key_type": said.key[0],
        "key_value": said.key[1],
        "segment_name": said.segment_name,
        "ts": said.ts,
    }
