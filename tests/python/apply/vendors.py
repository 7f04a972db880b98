"""The four vendors, small: each takes what it is sent, unless it is told to answer otherwise."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import httpx

Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


def reset() -> Exception:
    return httpx.ReadError("connection reset by peer")


def refuse() -> Exception:
    return httpx.ConnectError("connection refused")


@dataclass
class Vendors:
    """A transport for `httpx`.

    `answers` has, by host, what the next requests there get instead of success: a response or an
    error in place of storing; wrapped by `after_storing`, after it. `stored` counts, by host, how
    often each key was taken; `log` has every request in order of arrival.
    """

    answers: dict[str, list[Answer | None]] = field(default_factory=dict)
    stored: dict[str, Counter[str]] = field(default_factory=dict)
    log: list[httpx.Request] = field(default_factory=list)
    refuses: Callable[[dict[str, Any]], bool] = lambda record: False
    seconds: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)

    def bodies(self, host: str) -> list[bytes]:
        return [request.content for request in self.log if request.url.host == host]

    def handle(self, request: httpx.Request) -> httpx.Response:
        request.read()
        host = request.url.host
        with self._lock:
            self.log.append(request)
            waiting = self.answers.get(host, [])
            answer = waiting.pop(0) if waiting else None
        time.sleep(self.seconds)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        if answer is not None:
            return answer(request)
        return self.take(request)

    def take(self, request: httpx.Request) -> httpx.Response:
        """Store what stands in the request and answer as the vendor does."""
        return getattr(self, request.url.host.split(".")[-2])(request)  # type: ignore[no-any-return]

    def after_storing(self, answer: httpx.Response | Exception) -> Answer:
        def handle(request: httpx.Request) -> httpx.Response:
            self.take(request)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return handle

    def store(self, host: str, keys: list[str]) -> None:
        with self._lock:
            self.stored.setdefault(host, Counter()).update(keys)

    def clevertap(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("X-CleverTap-Passcode") != "planted-passcode":
            return httpx.Response(401, json={"status": "fail", "error": "Account", "code": 401})
        if request.url.path == "/get_custom_list_segment_url":
            url = "https://files.test/list.csv?signature=planted-signature"
            return httpx.Response(200, json={"status": "success", "presignedS3URL": url})
        document = json.loads(request.content)
        if request.url.path == "/upload_custom_list_segment_completed":
            self.store(request.url.host, [document["url"].partition("?")[0]])
            return httpx.Response(200, json={"status": "success", "Segment ID": 7})
        records = document["d"]
        bad = [n for n, record in enumerate(records) if self.refuses(record)]
        if "dryRun" not in request.url.params:
            good = [r["identity"] for n, r in enumerate(records) if n not in bad]
            self.store(request.url.host, good)
        said = "No identity of {}. Skipped record number : {}"
        unprocessed = [
            {
                "status": "fail",
                "code": 523,
                "error": said.format(records[n]["identity"], n + 1),
                "record": records[n],
            }
            for n in bad
        ]
        status = "success" if not bad else "partial" if len(bad) < len(records) else "fail"
        processed = len(records) - len(bad)
        answer = {"status": status, "processed": processed, "unprocessed": unprocessed}
        return httpx.Response(200, json=answer)

    def moengage(self, request: httpx.Request) -> httpx.Response:
        members = json.loads(request.content)["parameters"]["members"]
        self.store(request.url.host, [member["uid"] for member in members])
        return httpx.Response(200, json={"status": "success", "message": "accepted"})

    def lytics(self, request: httpx.Request) -> httpx.Response:
        rows = json.loads(request.content)
        if any(self.refuses(row) for row in rows):
            return httpx.Response(400, json={"data": None, "message": "bad row", "status": 400})
        if request.url.params.get("dryrun") != "true":
            self.store(request.url.host, [row["user_id"] for row in rows])
        data = {"message_count": len(rows), "rejected_count": 0}
        return httpx.Response(200, json={"status": 200, "message": "success", "data": data})

    def amplitude(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/identify":
            form = parse_qs(request.content.decode())
            self.store("identify", [i["user_id"] for i in json.loads(form["identification"][0])])
            return httpx.Response(200, text="success")
        document = json.loads(request.content)
        if document["api_key"] != "planted-amplitude-key":
            return httpx.Response(400, json={"code": 400, "error": "Invalid API key: x"})
        events = document["events"]
        bad = [n for n, event in enumerate(events) if self.refuses(event)]
        if bad:
            fields = {"time": bad[:1]}
            error = {"code": 400, "error": "Invalid", "events_with_invalid_fields": fields}
            return httpx.Response(400, json=error)
        known = self.stored.get(request.url.host, Counter())
        ids = [event["insert_id"].removeprefix("relay:") for event in events]
        self.store(request.url.host, [key for key in ids if key not in known])
        return httpx.Response(200, json={"code": 200, "events_ingested": len(events)})
