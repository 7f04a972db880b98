"""MoEngage's file segments: told of a file, the service fetches it, counts and calls back."""

import asyncio
import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import RLock
from typing import Any
from urllib.parse import urlsplit

import httpx

from relay.emulate.clock import Clock
from relay.emulate.exchange import Answer, Call, read_json
from relay.emulate.moengage.switches import MoengageSwitches
from relay.emulate.moengage.users import Users
from relay.emulate.windows import Window

HOUR_SECONDS, DAY_SECONDS = 3600.0, 86_400.0
REQUIRED_TO_CREATE = ("name", "attribute_name", "attribute_type", "file_url")
OPERATIONS = {"add-users": "add", "remove-users": "remove", "replace": "replace"}


@dataclass(slots=True)
class FileSegment:
    """One file segment.

    Attributes:
        attribute: The user attribute that the file's column is matched with; `uid` is the id.
        members: User ids in it.
    """

    cs_id: str
    name: str
    attribute: str
    members: set[str] = field(default_factory=set)
    archived: bool = False
    callbacks: list[dict[str, Any]] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """The segment as JSON."""
        return {
            "cs_id": self.cs_id,
            "name": self.name,
            "members": sorted(self.members),
            "archived": self.archived,
            "callbacks": self.callbacks,
        }


class FileSegments:
    """The file segments of one workspace, by name."""

    def __init__(self, users: Users, clock: Clock, lock: RLock, switches: MoengageSwitches) -> None:
        self._users = users
        self._clock = clock
        self._lock = lock
        self._switches = switches
        self._hour = Window(switches.file_operations_an_hour, HOUR_SECONDS)
        self._day = Window(switches.file_operations_a_day, DAY_SECONDS)
        self._running: set[asyncio.Task[None]] = set()
        self.segments: dict[str, FileSegment] = {}

    def create(self, call: Call) -> Answer:
        """`POST /v2/custom-segments/file-segment`."""
        document = self._document(call, REQUIRED_TO_CREATE)
        if isinstance(document, Answer):
            return document
        name = document["name"]
        if name in self.segments:
            return refusal(409, "Conflict", f"Name already exists : {name}")
        refused = self._limit()
        if refused is not None:
            return refused
        segment = FileSegment(secrets.token_hex(12), name, document["attribute_name"])
        self.segments[name] = segment
        return self._begin(segment, "replace", document, "File-segment creation request accepted")

    def change(self, call: Call) -> Answer:
        """`PUT …/add-users`, `…/remove-users` and `…/replace`."""
        document = self._document(call, ("file_url",))
        if isinstance(document, Answer):
            return document
        segment = self._find(document)
        if segment is None:
            return refusal(404, "Entity Not Found", "Custom segment not found")
        refused = self._limit()
        if refused is not None:
            return refused
        operation = OPERATIONS[call.path.rpartition("/")[2]]
        return self._begin(segment, operation, document, "File-segment update request accepted")

    def archive(self, call: Call) -> Answer:
        """`PATCH …/archive` and `…/unarchive`."""
        document = self._document(call, ())
        if isinstance(document, Answer):
            return document
        segment = self._find(document)
        if segment is None:
            return refusal(404, "Entity Not Found", "Custom segment not found")
        segment.archived = call.path.endswith("/archive")
        return Answer.of({"success": True, "cs_name": segment.name, "cs_id": segment.cs_id})

    def _document(self, call: Call, required: tuple[str, ...]) -> dict[str, Any] | Answer:
        try:
            document = read_json(call.body)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            return refusal(400, "Invalid Request", "Malformed JSON")
        for name in required:
            if not document.get(name):
                text = f"Mandatory field missing in the request: {name}"
                return refusal(400, "Invalid Request", text)
        return document

    def _find(self, document: Mapping[str, Any]) -> FileSegment | None:
        for segment in self.segments.values():
            if document.get("cs_id") == segment.cs_id or document.get("name") == segment.name:
                return segment
        return None

    def _limit(self) -> Answer | None:
        now = self._clock.elapsed()
        if self._day.remaining(now) and self._hour.take(now) and self._day.take(now):
            return None
        text = "File segment operations limit breached"
        return refusal(429, "Too Many Requests", text)

    def _begin(
        self, segment: FileSegment, operation: str, document: Mapping[str, Any], message: str
    ) -> Answer:
        """Accept; the file is fetched afterwards, from loopback only."""
        task = asyncio.get_running_loop().create_task(self._carry_out(segment, operation, document))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        accepted = {
            "message": message,
            "success": True,
            "cs_name": segment.name,
            "cs_id": segment.cs_id,
        }
        return Answer.of(accepted, 202)

    async def _carry_out(
        self, segment: FileSegment, operation: str, document: Mapping[str, Any]
    ) -> None:
        callback: dict[str, Any] = {
            "db_name": "emulated",
            "segment_name": segment.name,
            "request_id": secrets.token_hex(8),
        }
        async with httpx.AsyncClient(timeout=30.0, trust_env=False) as client:
            values = await self._values(client, str(document["file_url"]))
            with self._lock:
                if isinstance(values, str):
                    callback |= {"status": 400, "error_message": values}
                else:
                    callback |= self._apply(segment, operation, values)
                segment.callbacks.append(callback)
            address = document.get("callback_url")
            if isinstance(address, str) and on_loopback(address):
                await client.post(address, json=callback)

    def _apply(self, segment: FileSegment, operation: str, values: list[str]) -> dict[str, Any]:
        found = self._matching(segment.attribute, values)
        if operation == "replace":
            segment.members = found
        elif operation == "add":
            segment.members |= found
        else:
            segment.members -= found
        return {
            "values_found": len(found),
            "values_processed": len(values),
            "user_count": len(segment.members),
            "status": 201,
        }

    async def _values(self, client: httpx.AsyncClient, address: str) -> list[str] | str:
        """The values of the file's one column, or what is wrong with the file."""
        if not on_loopback(address):
            return "file_url: emulators fetch from loopback only"
        try:
            answer = await client.get(address)
        except httpx.HTTPError as error:
            return f"file_url could not be fetched: {error}"
        if answer.status_code != 200:
            return f"file_url answered {answer.status_code}"
        return column_of(answer.content, self._switches.file_max_bytes)

    def _matching(self, attribute: str, values: list[str]) -> set[str]:
        if attribute == "uid":
            return {value for value in values if value in self._users.known}
        wanted = set(values)
        return {
            uid for uid, held in self._users.known.items() if str(held.get(attribute)) in wanted
        }


def column_of(body: bytes, max_bytes: int) -> list[str] | str:
    """The values of a one-column CSV without its header, or what is wrong with it."""
    if len(body) > max_bytes:
        return "the file is larger than 150 MB"
    try:
        lines = body.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        return "the file is not UTF-8"
    if not lines or not lines[0].replace("_", "").replace(" ", "").isalnum():
        return "the header has quotes or special characters"
    values = lines[1:]
    if any("," in line or not line.strip() for line in values):
        return "the file has more than one column or empty rows"
    if len(set(values)) != len(values):
        return "the file has duplicates"
    return values


def on_loopback(address: str) -> bool:
    """Whether an address is plain http on this machine."""
    parts = urlsplit(address)
    try:
        return parts.scheme == "http" and ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


def refusal(status: int, title: str, description: str) -> Answer:
    """The error body of the segment endpoints."""
    return Answer.of({"title": title, "description": description}, status)
