"""Amplitude's Identify API: a form in, plain text out."""

from collections.abc import Mapping
from datetime import datetime
from email import message_from_bytes
from typing import Any
from urllib.parse import parse_qs

from relay.emulate.amplitude.arrival import device_of
from relay.emulate.amplitude.checks import is_invalid_id
from relay.emulate.amplitude.export import EventStore
from relay.emulate.amplitude.ingest import SHORTEST_ID
from relay.emulate.amplitude.organisation import Organisation, apply_operators, operators
from relay.emulate.amplitude.switches import AmplitudeSwitches
from relay.emulate.clock import Clock
from relay.emulate.exchange import Answer, Call, read_json

TEXT = "text/html;charset=utf-8"
FORM = "application/x-www-form-urlencoded"


class Identify:
    """Sets user properties; a whole call or nothing of it."""

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
        self.taken = 0

    def answer(self, call: Call) -> Answer:
        """`POST /identify`: `success`, or a word of text that says what is wrong.

        `missing_event` is documented for whatever is missing or malformed; the words for a wrong
        key and for ids that are refused are UNVERIFIED.
        """
        form = form_of(call)
        api_key, text = form.get("api_key"), form.get("identification")
        if api_key is None or text is None:
            return plain("missing_event", 400)
        if api_key not in self._projects:
            return plain("invalid_api_key", 400)
        try:
            document = read_json(text.encode())
        except ValueError:
            return plain("missing_event", 400)
        identifications = document if isinstance(document, list) else [document]
        if len(identifications) > self._switches.identify_max_identifications:
            return plain("request_too_large", 413)
        for identification in identifications:
            wrong = _problem(identification)
            if wrong is not None:
                return plain(wrong, 400)
        self._organisation.learn(self._store.unread())
        now = self._clock.now()
        for identification in identifications:
            self._apply(self._projects[api_key][1], identification, now)
        return plain("success", 200)

    def _apply(self, project: str, identification: Mapping[str, Any], now: datetime) -> None:
        user = identification.get("user_id")
        amplitude_id = self._organisation.assign(device_of(identification, user), user, now)
        held = self._organisation.properties.setdefault((project, amplitude_id), {})
        own = identification.get("user_properties") or {}
        apply_operators(held, own if operators(own) else {"$set": own})
        self.taken += 1


def _problem(identification: Any) -> str | None:
    if not isinstance(identification, dict):
        return "missing_event"
    ids = [
        (name, identification[name])
        for name in ("user_id", "device_id")
        if identification.get(name) is not None
    ]
    if not ids:
        return "missing_event"
    for name, value in ids:
        if not isinstance(value, str) or len(value) < SHORTEST_ID or is_invalid_id(value, name):
            return "invalid_id"
    own = identification.get("user_properties") or {}
    if not isinstance(own, dict) or operators(own) is None:
        return "missing_event"
    return None


def plain(text: str, status: int) -> Answer:
    """The text answer of the Identify API."""
    return Answer.text(text, status, content_type=TEXT)


def form_of(call: Call) -> dict[str, str]:
    """The fields of a form, or of a GET request's query; nothing for any other body."""
    if call.method == "GET":
        return {name: values[0] for name, values in call.query.items()}
    if call.content_type == FORM:
        fields = parse_qs(call.body.decode("utf-8", "replace"), keep_blank_values=True)
        return {name: values[0] for name, values in fields.items()}
    if call.content_type != "multipart/form-data":
        return {}
    head = f"Content-Type: {call.header(b'content-type')}\r\n\r\n".encode()
    found: dict[str, str] = {}
    for part in message_from_bytes(head + call.body).walk():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            found[name] = content.decode("utf-8", "replace")
    return found
