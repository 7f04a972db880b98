"""Amplitude: events by the Batch or HTTP V2 API, user properties by the Identify API.

A 400 or 429 refuses the whole request and names the events to blame: they are left out and the rest
goes again, until it is taken. An event sent twice is taken once where its `insert_id` is known,
which Amplitude promises for seven days.

Sources: Batch Event Upload API, HTTP V2 API, Identify API; the order of retries follows Amplitude's
own SDKs.
"""

import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx

from relay.apply.http import Connection
from relay.apply.ledger_lines import Rejection
from relay.apply.limits import Limits
from relay.apply.verdicts import (
    Again,
    Exchange,
    Verdict,
    delivered,
    halves,
    judge_transport,
    refused,
    retry,
    stopped,
    unknown,
)
from relay.apply.ways import Call, Way
from relay.plan.manifest import PlanSync
from relay.settings import Environment

IDENTIFY_PATH = "/identify"
BATCH_PATH = "/batch"
# Seven days are promised; the last hour is left to clocks that differ.
INSERT_ID_WINDOW = timedelta(days=7) - timedelta(hours=1)
# Events of one user or device that fit into 30 seconds.
EVENTS_PER_WINDOW = {BATCH_PATH: 30_000, "/2/httpapi": 900}
WINDOW_SECONDS = 30.0
WAIT_SECONDS = {BATCH_PATH: 15.0, "/2/httpapi": 30.0, IDENTIFY_PATH: 15.0}

KEY_PROBLEM = "refused the key (400, invalid API key); check AMPLITUDE_API_KEY and AMPLITUDE_REGION"
REQUEST_ERRORS = ("Invalid request path", "Missing request body", "Invalid JSON request body")
BLAMED = (
    "events_with_missing_fields",
    "events_with_invalid_fields",
    "events_with_invalid_id_lengths",
)


def connect(
    environment: Environment, host: str, limits: Limits, transport: httpx.BaseTransport | None
) -> tuple[Connection, str]:
    """A connection to the host that takes events, and the key, which goes into each body.

    Raises:
        ConfigurationError: A variable is missing or cannot be right.
    """
    environment.require("amplitude_api_key")
    key = environment.amplitude_api_key
    connection = Connection(
        host,
        variable="AMPLITUDE_INGEST_URL",
        connections=limits.concurrency,
        transport=transport,
    )
    return connection, key.get_secret_value() if key else ""


class Events(Way):
    """Events by the Batch or HTTP V2 API, as the plan says."""

    destination = "amplitude"
    delivery = "events"
    records = ("events",)
    identifying = ("user_id", "device_id")
    reads_records = True

    def __init__(
        self,
        connection: Connection,
        key: str,
        limits: Limits,
        secrets: Sequence[str],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(limits, secrets)
        self._connection = connection
        self._key = key
        self._rates = {path: DeviceRate(most, clock) for path, most in EVENTS_PER_WINDOW.items()}

    def send(self, call: Call) -> Exchange:
        """Send the events, with the key in front of them."""
        key = json.dumps(self._key).encode()
        return self._connection.send(
            call.method,
            call.path,
            query=call.query,
            body=b'{"api_key":' + key + b"," + call.body.lstrip()[1:],
            content_type=call.content_type,
        )

    def judge(self, call: Call, exchange: Exchange, tries: int) -> Verdict:
        """See `judge_events`."""
        wait = WAIT_SECONDS.get(call.path, WINDOW_SECONDS)
        return judge_events(exchange, call.rows, wait=wait, ids=map(ids_of, call.records))

    def ration(
        self, path: str, records: Sequence[Mapping[str, Any]], positions: Sequence[int]
    ) -> tuple[Sequence[int], float]:
        """As many events of each user and device as fit into the window, each one's in order."""
        rate = self._rates.get(path)
        return (positions, 0.0) if rate is None else rate.grant(records, positions)

    def may_repeat(self, sync: PlanSync, first_sent_at: datetime, now: datetime) -> bool:
        """While Amplitude remembers the `insert_id`, an event sent twice is taken once."""
        return now - first_sent_at < INSERT_ID_WINDOW

    def close(self) -> None:
        """Give the connections back."""
        self._connection.close()


class Identify(Way):
    """User properties by the Identify API: a form whose one field is the sealed JSON."""

    destination = "amplitude"
    delivery = "identify"
    records = ()
    identifying = ("user_id", "device_id")
    halves_refusals = True

    def __init__(
        self, connection: Connection, key: str, limits: Limits, secrets: Sequence[str]
    ) -> None:
        super().__init__(limits, secrets)
        self._connection = connection
        self._key = key

    def send(self, call: Call) -> Exchange:
        """Send the identifications as a form, with the key."""
        form = urlencode({"api_key": self._key, "identification": call.body.decode()})
        return self._connection.send(
            call.method,
            call.path,
            query=call.query,
            body=form.encode(),
            content_type="application/x-www-form-urlencoded",
        )

    def judge(self, call: Call, exchange: Exchange, tries: int) -> Verdict:
        """See `judge_identify`."""
        return judge_identify(exchange, call.rows)

    def may_repeat(self, sync: PlanSync, first_sent_at: datetime, now: datetime) -> bool:
        """A property set twice is set."""
        return True

    def close(self) -> None:
        """Give the connections back."""
        self._connection.close()


class DeviceRate:
    """How many events of one user or device went in the last 30 seconds.

    Args:
        most: Events that fit into the window.
        clock: Seconds that only grow.
    """

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._granted: deque[tuple[float, Counter[str]]] = deque()
        self._totals: Counter[str] = Counter()

    def grant(
        self, records: Sequence[Mapping[str, Any]], positions: Sequence[int]
    ) -> tuple[list[int], float]:
        """Take as many events as may go now, and count them; seconds until more may.

        An event that has to wait makes the later ones of its user and device wait too.
        """
        with self._lock:
            now = self._clock()
            self._forget(now)
            used: Counter[str] = Counter()
            waiting: set[str] = set()
            granted = []
            for record, position in zip(records, positions, strict=True):
                names = [f"{n}:{value}" for n, value in enumerate(ids_of(record)) if value]
                if any(n in waiting or self._totals[n] + used[n] >= self._most for n in names):
                    waiting.update(names)
                else:
                    used.update(names)
                    granted.append(position)
            if granted:
                self._granted.append((now, used))
                self._totals.update(used)
            if len(granted) == len(positions):
                return granted, 0.0
            return granted, max(0.0, self._granted[0][0] + WINDOW_SECONDS - now)

    def _forget(self, now: float) -> None:
        """Drop what is older than the window; ids of which nothing is left go too."""
        while self._granted and self._granted[0][0] <= now - WINDOW_SECONDS:
            for name, number in self._granted.popleft()[1].items():
                self._totals[name] -= number
                if not self._totals[name]:
                    del self._totals[name]


def ids_of(record: Mapping[str, Any]) -> tuple[str, str]:
    """User id and device id of an event, empty where it has none."""
    return str(record.get("user_id") or ""), str(record.get("device_id") or "")


def judge_events(
    exchange: Exchange, rows: int, *, wait: float, ids: Iterable[tuple[str, str]] = ()
) -> Verdict:
    """What an answer to an upload of events means.

    Args:
        exchange: The answer.
        rows: Events in the request.
        wait: Seconds that throttled events wait.
        ids: User id and device id of each event, to know whose daily quota is used up.
    """
    verdict = judge_transport(
        exchange, rows, host_variable="AMPLITUDE_REGION, AMPLITUDE_INGEST_URL"
    )
    if verdict is not None:
        return verdict
    status = exchange.status or 0
    document = exchange.document()
    if status == 200:
        return delivered() if (document or {}).get("code") == 200 else unknown("200 without JSON")
    if status == 400:
        return _judge_refused(document or {}, rows)
    if status == 429:
        return _judge_throttled(document or {}, rows, wait, list(ids))
    return _judge_other(status, rows)


def judge_identify(exchange: Exchange, rows: int) -> Verdict:
    """What an answer of `POST /identify` means; it is plain text."""
    verdict = judge_transport(
        exchange, rows, host_variable="AMPLITUDE_REGION, AMPLITUDE_INGEST_URL"
    )
    if verdict is not None:
        return verdict
    status = exchange.status or 0
    text = exchange.body[:1000].decode("utf-8", "replace").strip()
    if status == 200:
        return delivered() if text == "success" else unknown("200 without `success`")
    if status == 400:
        if "api_key" in text.lower().replace(" ", "_"):
            return stopped(KEY_PROBLEM, is_configuration=True)
        return refused(400, text or "no reason given")
    if status == 429:
        return retry(rows, "too many requests (429)", wait=WAIT_SECONDS[IDENTIFY_PATH])
    return _judge_other(status, rows)


def _judge_other(status: int, rows: int) -> Verdict:
    if status == 403:
        return stopped(
            "answered 403: a firewall or the region of this machine stands between",
            is_configuration=False,
        )
    if status in (404, 405):
        return stopped(f"answered {status}; check AMPLITUDE_INGEST_URL", is_configuration=True)
    if status == 413 and rows > 1:
        return halves(rows, "too large (413)")
    if status == 503:
        return retry(rows, "answered 503, nothing was stored")
    if status >= 500:
        return unknown(f"answered {status}")
    return refused(status, "payload too large" if status == 413 else "no reason given")


def _judge_refused(document: Mapping[str, Any], rows: int) -> Verdict:
    """A 400: whom it names is refused, everybody else goes again at once."""
    error = str(document.get("error", "no reason given"))
    missing = document.get("missing_field")
    if error.startswith("Invalid API key") or missing == "api_key":
        return stopped(KEY_PROBLEM, is_configuration=True)
    if missing is not None:
        return refused("missing_field", f"{error}: {missing}")
    blamed: dict[int, Rejection] = {}
    for kind in BLAMED:
        for name, positions in _dict(document.get(kind)).items():
            for position in _positions(positions, rows):
                rejection = Rejection(position, f"{kind}.{name}", error)
                blamed.setdefault(position, rejection)
    for position in _positions(document.get("silenced_events"), rows):
        blamed.setdefault(position, Rejection(position, "silenced", error))
    if blamed:
        rest = [position for position in range(rows) if position not in blamed]
        again = (Again(rest, 0.0, fresh=True),) if rest else ()
        rejected = tuple(blamed[position] for position in sorted(blamed))
        return Verdict(
            "not_processed", rejected, again=again, reason=f"refused for {len(blamed)} events (400)"
        )
    if rows == 1 or error in REQUEST_ERRORS:
        return refused(400, error)
    return halves(rows, "refused without naming an event (400)")


def _judge_throttled(
    document: Mapping[str, Any], rows: int, wait: float, ids: list[tuple[str, str]]
) -> Verdict:
    """A 429: the throttled wait, who is over a daily quota is refused, the rest goes at once."""
    slow = set(_positions(document.get("throttled_events"), rows))
    users = _dict(document.get("exceeded_daily_quota_users"))
    devices = _dict(document.get("exceeded_daily_quota_devices"))
    rejected = tuple(
        Rejection(position, "daily_quota", "over the daily quota of a user or device")
        for position, (user_id, device_id) in enumerate(ids)
        if position in slow and (user_id in users or device_id in devices)
    )
    slow -= {rejection.position for rejection in rejected if rejection.position is not None}
    if not slow and not rejected:
        again: tuple[Again, ...] = (Again(range(rows), wait),)
    else:
        refused_positions = {rejection.position for rejection in rejected}
        rest = [p for p in range(rows) if p not in slow and p not in refused_positions]
        again = (Again(rest, 0.0, fresh=True),) if rest else ()
        again += (Again(sorted(slow), wait),) if slow else ()
    return Verdict(
        "not_processed", rejected, again=again, is_throttled=True, reason="too many requests (429)"
    )


def _dict(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _positions(value: object, rows: int) -> list[int]:
    """The positions of a list, less what is none of this request."""
    if not isinstance(value, list):
        return []
    return [p for p in value if type(p) is int and 0 <= p < rows]
