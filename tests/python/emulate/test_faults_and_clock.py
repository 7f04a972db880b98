import socket
import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from emulate.conftest import NOON
from emulate.test_clevertap import Api, sync
from relay.emulate import Clock, Emulators, Fault, Faults


@pytest.fixture
def api(emulators: Emulators, client: httpx.Client) -> Api:
    return Api(emulators, client)


def stored(emulators: Emulators) -> int:
    return len(emulators.clevertap.state()["events"])


def test_a_fault_hits_the_requests_it_names() -> None:
    faults = Faults({"a": False, "b": False})
    faults.add("status", "a", nth=2, times=2, every=2)
    hits = [bool(faults.take(route)) for route in "aabaaaa"]
    assert hits == [False, True, False, False, True, False, False]
    faults.replace([Fault("slow", chance=0.5, times=None)])
    share = sum(bool(faults.take("a")) for _ in range(1000))
    assert 400 < share < 600
    with pytest.raises(ValueError, match="no route 'c'"):
        faults.add("status", "c")
    with pytest.raises(ValueError, match="partial needs a route"):
        faults.add("partial", "a")
    with pytest.raises(ValueError, match="unknown nht"):
        Fault.from_document({"kind": "reset", "nht": 1})


@pytest.mark.parametrize("carried_out", [False, True])
@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_error_comes_before_or_after_storing(
    api: Api, emulators: Emulators, status: int, carried_out: bool
) -> None:
    emulators.clevertap.faults.add("status", "upload", nth=2, status=status, stored=carried_out)
    statuses = [api.upload(sync("Ada")).status_code for _ in range(3)]
    assert statuses == [200, status, 200]
    assert stored(emulators) == 2 + carried_out


def test_resets_cuts_and_time_outs_break_the_connection(api: Api, emulators: Emulators) -> None:
    faults = emulators.clevertap.faults
    for order in (
        {"kind": "reset"},
        {"kind": "cut"},
        {"kind": "timeout", "seconds": 0.05},
    ):
        faults.order(Fault.from_document(order))
        with pytest.raises(httpx.TransportError):
            api.upload(sync("Ada"))
        faults.clear()
    assert stored(emulators) == 1, "a cut answer was carried out"
    faults.add("timeout", stored=True)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(api.url + "/1/upload", json={"d": [sync("A")]}, headers=api.headers, timeout=0.1)
    assert stored(emulators) == 2
    log = emulators.clevertap.log
    assert [(line.status, line.faults) for line in log] == [
        (None, ("reset",)),
        (200, ("cut",)),
        (None, ("timeout",)),
        (None, ("timeout",)),
    ]


def test_html_truncated_corrupted_and_slow_answers(api: Api, emulators: Emulators) -> None:
    faults = emulators.clevertap.faults
    faults.add("html", status=502)
    page = api.upload(sync("Ada"))
    assert (page.status_code, page.headers["content-type"]) == (502, "text/html")
    faults.add("truncated")
    assert api.upload(sync("Ada")).text == '{"status":"success","proc'
    faults.add("corrupted")
    assert api.upload(sync("Ada")).text != '{"status":"success","processed":1,"unprocessed":[]}'
    faults.add("slow", seconds=0.1)
    began = time.monotonic()
    assert api.upload(sync("Ada")).status_code == 200
    assert time.monotonic() - began >= 0.1


def test_faults_and_clock_can_be_ordered_over_http(
    api: Api, emulators: Emulators, client: httpx.Client
) -> None:
    url = api.url + "/_faults"
    ordered = client.put(url, json=[{"kind": "status", "route": "upload", "status": 503}])
    assert ordered.json()[0]["hits"] == 0
    assert api.upload(sync("Ada")).json() == {
        "status": "fail",
        "error": "Service Unavailable",
        "code": 503,
    }
    assert client.get(url).json()[0]["hits"] == 1
    assert client.post(url, json={"kind": "nonsense"}).status_code == 400
    assert client.delete(url).json() == []
    clock = api.url + "/_clock"
    assert client.get(clock).json() == {"now": NOON.isoformat(), "frozen": True}
    client.post(clock, json={"advance_seconds": 3600})
    assert emulators.clock.now() == NOON + timedelta(hours=1)
    client.put(clock, json={"now": "2026-04-01T00:00:00Z", "frozen": False})
    assert emulators.clock.now() > datetime(2026, 4, 1, tzinfo=UTC)
    assert client.put(clock, json={"now": "2026-04-01"}).status_code == 400


def test_a_standing_clock_still_measures_time() -> None:
    clock = Clock(NOON, frozen=True)
    before = clock.elapsed()
    assert clock.now() == clock.now() == NOON
    clock.set(NOON + timedelta(minutes=5))
    assert 300 <= clock.elapsed() - before < 301
    clock.set(NOON)
    assert clock.elapsed() - before < 301
    clock.run()
    assert clock.now() > NOON
    with pytest.raises(ValueError, match="needs a time zone"):
        clock.set(datetime(2026, 3, 2))  # noqa: DTZ001


def test_starting_and_stopping_take_no_time_and_free_the_port(client: httpx.Client) -> None:
    began = time.monotonic()
    with Emulators() as first:
        ports = {"clevertap": int(first.urls["clevertap"].rpartition(":")[2])}
        assert client.get(first.urls["lytics"] + "/_clock").status_code == 200
        with pytest.raises(OSError, match="in use"):
            Emulators(ports=ports)
    with Emulators(ports=ports, keys={"CLEVERTAP_PASSCODE": "planted"}) as second:
        assert second.urls["clevertap"] == first.urls["clevertap"]
        api = Api(second, client)
        assert api.headers["X-CleverTap-Passcode"] == "planted"
        assert api.upload(sync("Ada")).status_code == 200
    assert time.monotonic() - began < 1
    with pytest.raises(httpx.ConnectError):
        client.get(second.urls["clevertap"] + "/_clock")


def test_the_log_tells_credentials_and_keeps_bodies_on_demand(
    api: Api, emulators: Emulators, client: httpx.Client
) -> None:
    emulators.clevertap.keep_bodies = True
    api.upload(sync("Ada"))
    client.get(api.url + "/nowhere", auth=("a", "b"))
    upload, nowhere = emulators.clevertap.log
    assert upload.body is not None
    assert upload.body.startswith(b'{"d":')
    assert (upload.authorization, nowhere.authorization) == (False, True)
    assert (nowhere.route, nowhere.status) == ("unknown", 404)


def test_a_request_that_breaks_off_is_not_carried_out(
    emulators: Emulators, api: Api, client: httpx.Client
) -> None:
    body = b"amplitude_id,city\n1,Sofia\n2,Pune\n"
    head = (
        "POST /collect/bulk/amplitude_cohorts HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: {emulators.environ['LYTICS_API_TOKEN']}\r\n"
        f"Content-Type: application/csv\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    port = int(emulators.urls["lytics_bulk"].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(head.encode() + body[:-1])
    deadline = time.monotonic() + 5
    while not emulators.lytics.log:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert (emulators.lytics.log[0].route, emulators.lytics.log[0].status) == ("bulk", None)
    assert emulators.lytics.state()["rows"] == {}


def test_only_json_is_json(api: Api, client: httpx.Client) -> None:
    kind = {"content-type": "application/json"}
    text = '{"d": [{"type": "profile", "identity": "A", "profileData": {"x": %s}}]}'
    bodies: dict[str | bytes, int] = {
        text % "NaN": 400,
        text % ("[" * 100_000): 400,
        (text % "1").encode("utf-16"): 400,
        text % r'"\ud800"': 200,
    }
    for body, status in bodies.items():
        answer = client.post(api.url + "/1/upload", content=body, headers=api.headers | kind)
        assert answer.status_code == status, body[:60]
    assert client.get(api.url + "/_state").status_code == 200
