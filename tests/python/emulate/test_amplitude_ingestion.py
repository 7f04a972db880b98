import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from emulate.conftest import NOON
from emulate.test_amplitude_export import export, members
from relay.emulate import Emulators

Event = dict[str, Any]


class Api:
    def __init__(self, emulators: Emulators, client: httpx.Client) -> None:
        self._client = client
        self.url = emulators.environ["AMPLITUDE_INGEST_URL"]
        self.key = emulators.environ["AMPLITUDE_API_KEY"]

    def http(self, *events: Event, **more: Any) -> httpx.Response:
        return self._post("/2/httpapi", events, more)

    def batch(self, *events: Event, **more: Any) -> httpx.Response:
        return self._post("/batch", events, more)

    def identify(self, data: dict[str, str]) -> httpx.Response:
        return self._client.post(self.url + "/identify", data=data)

    def _post(self, path: str, events: tuple[Event, ...], more: dict[str, Any]) -> httpx.Response:
        document = {"api_key": self.key, "events": list(events), **more}
        return self._client.post(self.url + path, json=document)

    def raw(self, body: bytes, path: str = "/2/httpapi") -> httpx.Response:
        return self._client.post(
            self.url + path, content=body, headers={"content-type": "application/json"}
        )


@pytest.fixture
def api(emulators: Emulators, client: httpx.Client) -> Api:
    return Api(emulators, client)


def event(user: str | None = "user-1", device: str | None = None, **more: Any) -> Event:
    ids = {"user_id": user, "device_id": device}
    known = {name: value for name, value in ids.items() if value is not None}
    return {"event_type": "Email Opened", **known, **more}


def test_success_counts_bytes_and_events(api: Api) -> None:
    answer = api.http(event(insert_id="relay:1"), event(insert_id="relay:2"))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "code": 200,
        "server_upload_time": int(NOON.timestamp() * 1000) + 8,
        "payload_size_bytes": len(answer.request.content),
        "events_ingested": 2,
    }


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", {"error": "Missing request body"}),
        (b"{", {"error": "Invalid JSON request body"}),
        (
            b'{"events": [{}]}',
            {"error": "Request missing required field", "missing_field": "api_key"},
        ),
        (
            b'{"api_key": "x", "events": []}',
            {"error": "Request missing required field", "missing_field": "events"},
        ),
        (b'{"api_key": "x", "events": [{}]}', {"error": "Invalid API key: x"}),
    ],
)
def test_requests_that_are_not_right(api: Api, body: bytes, expected: dict[str, str]) -> None:
    answer = api.raw(body)
    assert (answer.status_code, answer.json()) == (400, {"code": 400, **expected})


@pytest.mark.parametrize(
    ("events", "key", "fields"),
    [
        ([event(), {"user_id": "user-1"}], "events_with_missing_fields", {"event_type": [1]}),
        ([{"event_type": "x"}], "events_with_missing_fields", {"user_id": [0]}),
        ([event(event_type="")], "events_with_invalid_fields", {"event_type": [0]}),
        ([event(time="2026-03-02T00:00:00Z")], "events_with_invalid_fields", {"time": [0]}),
        ([event(event_properties=[1])], "events_with_invalid_fields", {"event_properties": [0]}),
        ([event(currency="eur")], "events_with_invalid_fields", {"currency": [0]}),
        ([event("Anonymous", "device-1")], "events_with_invalid_fields", {"user_id": [0]}),
        ([event(None, "0000-00000")], "events_with_invalid_fields", {"device_id": [0]}),
        ([event("ada", "device-1")], "events_with_invalid_id_lengths", {"user_id": [0]}),
    ],
)
def test_one_bad_event_refuses_the_request(
    api: Api, emulators: Emulators, events: list[Event], key: str, fields: dict[str, list[int]]
) -> None:
    answer = api.http(*events)
    assert answer.status_code == 400
    assert answer.json()[key] == fields
    assert emulators.amplitude.ingested() == []


def test_errors_name_the_first_event_or_all(api: Api, emulators: Emulators) -> None:
    bad = [event(), event(time="x"), event(time="y")]
    assert api.http(*bad).json()["events_with_invalid_fields"] == {"time": [1]}
    emulators.amplitude.switches.index_reporting = "all"
    assert api.http(*bad).json()["events_with_invalid_fields"] == {"time": [1, 2]}
    emulators.amplitude.faults.add("partial", "http", positions=(0,))
    assert api.http(event()).json()["events_with_invalid_fields"] == {"time": [0]}


def test_short_ids_have_a_bound_that_can_be_lowered(api: Api, emulators: Emulators) -> None:
    assert api.http(event("ada"), options={"min_id_length": 3}).status_code == 200
    assert api.http(event(), options={"min_id_length": "3"}).status_code == 400
    assert api.batch(event("bob", "device-1")).json()["error"] == (
        "Invalid id length for user_id or device_id"
    )
    emulators.amplitude.switches.short_ids_in_batch = "drop"
    assert api.batch(event("bob", "device-1")).status_code == 200
    assert emulators.amplitude.ingested()[-1]["user_id"] is None
    assert api.batch(event("bob")).status_code == 400


def test_large_requests_are_413(api: Api) -> None:
    too_large = {"code": 413, "error": "Payload too large"}
    many = [event(f"user-{number}") for number in range(2000)]
    assert api.http(*many).json() == too_large
    assert api.batch(*many).status_code == 200
    assert api.batch(*many, event()).json() == too_large
    padding = event(event_properties={"x": "y" * 1_000_000})
    assert api.http(padding).json() == too_large
    assert api.batch(padding).status_code == 200


def test_a_fast_device_refuses_the_request_and_is_named(api: Api, emulators: Emulators) -> None:
    fast = [event(None, "device-1") for _ in range(31)]
    answer = api.http(event(), *fast)
    assert answer.status_code == 429
    assert answer.json() == {
        "code": 429,
        "error": "Too many requests for some devices and users",
        "eps_threshold": 30,
        "throttled_devices": {"device-1": 31},
        "throttled_users": {},
        "throttled_events": list(range(1, 32)),
        "exceeded_daily_quota_users": {},
        "exceeded_daily_quota_devices": {},
    }
    assert emulators.amplitude.ingested() == []
    assert api.http(*fast[:30]).status_code == 200
    assert api.http(fast[0]).status_code == 429
    emulators.clock.advance(1)
    assert api.http(fast[0]).status_code == 200
    emulators.amplitude.exceed_daily_quota("user-1")
    assert api.batch(event()).json()["exceeded_daily_quota_users"] == {"user-1": 500_001}
    emulators.amplitude.silence("device-9")
    silenced = api.http(event(), event(None, "device-9")).json()
    assert silenced["error"] == "Events silenced for device_id"
    assert silenced["silenced_events"] == [1]


def test_an_insert_id_counts_once_for_seven_days(api: Api, emulators: Emulators) -> None:
    once = event(insert_id="relay:1")
    assert [api.http(once).json()["events_ingested"] for _ in range(2)] == [1, 0]
    assert api.http(event(None, "device-1", insert_id="relay:1")).json()["events_ingested"] == 1
    emulators.clock.advance(timedelta(days=7))
    assert api.http(once).json()["events_ingested"] == 1
    assert len(emulators.amplitude.ingested()) == 3
    assert emulators.amplitude.state()["duplicates"] == 1
    emulators.amplitude.switches.insert_id_scope = "alone"
    api.http(event(None, "device-1", insert_id="relay:7"))
    assert api.http(event(None, "device-2", insert_id="relay:7")).json()["events_ingested"] == 0


def test_stored_then_500_is_settled_by_the_insert_id(api: Api, emulators: Emulators) -> None:
    emulators.amplitude.faults.add("status", "batch", status=500, stored=True)
    once = event(insert_id="relay:1")
    assert api.batch(once).status_code == 500
    assert api.batch(once).json()["events_ingested"] == 0
    assert len(emulators.amplitude.ingested()) == 1


def test_what_was_taken_in_is_exported_later(
    api: Api, emulators: Emulators, client: httpx.Client
) -> None:
    sent = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
    api.http(
        event(
            time=int(sent.timestamp() * 1000),
            insert_id="relay:1",
            language="en-US",
            event_properties={"$source": "MOENGAGE", "long": "x" * 2000},
        ),
        client_upload_time=(NOON + timedelta(hours=1)).isoformat(),
    )
    assert export(client, emulators, "20260302T12").status_code == 404
    emulators.clock.advance(timedelta(hours=3))
    (lines,) = members(export(client, emulators, "20260302T12")).values()
    row = json.loads(lines[0])
    assert len(row) == 55
    assert row["$insert_id"] == "relay:1"
    assert row["event_time"] == "2026-03-02 08:30:00.000000", "an hour fast: corrected"
    assert row["client_event_time"] == "2026-03-02 09:30:00.000000"
    assert row["server_upload_time"] == "2026-03-02 12:00:00.008000"
    assert (row["language"], row["library"]) == ("English", "http/2.0")
    assert len(row["event_properties"]["long"]) == 1024
    assert row["device_id"][14] == "5", "a UUID of version 5 from the user id"


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("A- B- B- C- A-", "1 2 2 3 1"),
        ("G- G- GJohn", "1 1 1"),
        ("KZack LZack", "1 1"),
        ("RJane R- RMary R- R-", "1 1 2 2 2"),
        ("YDavid Z- ZDavid Z-", "1 2 1 1"),
    ],
)
def test_people_are_recognised_as_amplitude_documents(
    api: Api, emulators: Emulators, steps: str, expected: str
) -> None:
    for step in steps.split():
        user = None if step[1:] == "-" else step[1:] + "-user"
        api.http(event(user, step[0] * 6))
    ids = [row["amplitude_id"] for row in emulators.amplitude.ingested()]
    order = list(dict.fromkeys(ids))
    assert " ".join(str(order.index(one) + 1) for one in ids) == expected
    merged = [(m.amplitude_id, m.merged_amplitude_id) for m in emulators.amplitude.merges()]
    assert merged == ([(order[1], order[0])] if "David" in steps else [])


def test_exported_people_are_known_to_ingestion(
    api: Api, emulators: Emulators, tmp_path: Path
) -> None:
    emulators.amplitude.add_events(
        "829528",
        [
            {"event_time": NOON, "amplitude_id": 11, "user_id": "David", "device_id": "device-y"},
            {"event_time": NOON, "amplitude_id": 12, "device_id": "device-z"},
        ],
    )
    api.http(event("David", "device-z"), event("Zoe-1", "device-q"))
    david, zoe = (row["amplitude_id"] for row in emulators.amplitude.ingested())
    assert david == 11
    assert zoe > 12
    (path,) = emulators.amplitude.write_merge_files(tmp_path)
    assert path.name == "-100042_2026-03-02_12.json.gz"
    row = json.loads(gzip.decompress(path.read_bytes()))
    assert (row["amplitude_id"], row["merged_amplitude_id"]) == (12, 11)


def test_identify_takes_a_form_and_answers_text(api: Api, emulators: Emulators) -> None:
    def identify(*identifications: Event) -> httpx.Response:
        return api.identify({"api_key": api.key, "identification": json.dumps(identifications)})

    answer = identify({"user_id": "user-1", "user_properties": {"plan": "pro"}})
    assert (answer.status_code, answer.text) == (200, "success")
    assert answer.headers["content-type"] == "text/html;charset=utf-8"
    identify(
        {"user_id": "user-1", "user_properties": {"$set": {"a": 1}, "$append": {"tags": "x"}}},
        {"user_id": "user-1", "user_properties": {"$preInsert": {"tags": ["y", "x"]}}},
        {"user_id": "user-1", "user_properties": {"$unset": {"plan": "-"}, "$add": {"a": 2}}},
    )
    assert emulators.amplitude.user_properties("user-1") == {"a": 3, "tags": ["y", "x"]}
    api.http(event("user-1"))
    assert emulators.amplitude.ingested()[0]["user_properties"]["a"] == 3
    mixed = identify({"user_id": "user-1", "user_properties": {"$set": {"a": 1}, "b": 2}})
    assert (mixed.status_code, mixed.text) == (400, "missing_event")
    as_json = api.raw(b'{"api_key": "x", "identification": "[]"}', "/identify")
    assert (as_json.status_code, as_json.text) == (400, "missing_event")


def test_skipped_properties_neither_change_nor_show(api: Api, emulators: Emulators) -> None:
    api.http(event(user_properties={"plan": "pro"}))
    api.http(event(user_properties={"plan": "free"}) | {"$skip_user_properties_sync": True})
    api.http(event())
    shown = [row["user_properties"] for row in emulators.amplitude.ingested()]
    assert shown == [{"plan": "pro"}, {"plan": "free"}, {"plan": "pro"}]
