"""The Streams webhook: who may send, what is on disk before the answer, harmless repeats."""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import uvicorn
from pydantic import SecretStr

from engagement.world import moengage_event
from relay import warehouse
from relay.emulate.moengage.streams import send_streams
from relay.errors import ConfigurationError
from relay.load.engagement import load_moengage_events
from relay.receive import streams
from relay.receive.credentials import Credentials, streams_credentials
from relay.receive.server import Address
from relay.receive.streams import DEFAULT_PATH, streams_app
from relay.settings import Home, Settings, load_settings

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
BASIC = Credentials(("moe", SecretStr("s3cret:pass")), None)
HEADER = Credentials(None, ("X-Api-Key", SecretStr("k3y")))
AUTH = ("moe", "s3cret:pass")


class Client:
    """Asks an application directly, without a network."""

    def __init__(self, app: Any) -> None:
        self._transport = httpx.ASGITransport(app)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(
                transport=self._transport, base_url="http://relay.example"
            ) as client:
                return await client.request(method, path, **options)

        return anyio.run(ask)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)


def client_of(home: Home, credentials: Credentials = BASIC) -> Client:
    return Client(streams_app(home, credentials, now=lambda: NOON))


def landed(home: Home) -> list[Path]:
    return sorted(path for path in home.landing.rglob("*.json"))


def body(*uuids: str) -> bytes:
    events = [moengage_event({"event_uuid": uuid}) for uuid in uuids]
    return json.dumps({"app_name": "Shop", "moe_request_id": "r", "events": events}).encode()


def test_a_body_is_on_disk_as_it_came_before_it_is_answered(tmp_path: Path) -> None:
    home = Home(tmp_path)
    content = body("a") + b"\n \n"
    answer = client_of(home).post(DEFAULT_PATH, content=content, auth=AUTH)
    assert answer.status_code == 200
    (path,) = landed(home)
    assert path.read_bytes() == content
    assert path.name == hashlib.sha256(content).hexdigest() + ".json"
    assert path.parent.name == "2026-03-02"


def test_the_same_body_again_is_the_same_file(tmp_path: Path) -> None:
    client = client_of(Home(tmp_path))
    answers = [client.post(DEFAULT_PATH, content=body("a"), auth=AUTH) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len(landed(Home(tmp_path))) == 1


@pytest.mark.parametrize(
    ("credentials", "headers", "status"),
    [
        (BASIC, httpx.BasicAuth(*AUTH), 200),
        (BASIC, httpx.BasicAuth("moe", "wrong"), 401),
        (BASIC, httpx.BasicAuth("", ""), 401),
        (BASIC, {"authorization": "Basic not-base64!"}, 401),
        (BASIC, {"authorization": "Bearer s3cret:pass"}, 401),
        (BASIC, {}, 401),
        (HEADER, {"x-api-key": "k3y"}, 200),
        (HEADER, {"x-api-key": "k3"}, 401),
        (HEADER, {"x-api-key": "schlüssel".encode()}, 401),
        (
            Credentials(None, ("X-Key", SecretStr("schlüssel"))),
            {"x-key": "schlüssel".encode()},
            200,
        ),
        (HEADER, httpx.BasicAuth(*AUTH), 401),
        (Credentials(BASIC.basic, HEADER.header), {"x-api-key": "k3y"}, 200),
    ],
)
def test_only_the_sender_may_send(
    tmp_path: Path,
    credentials: Credentials,
    headers: Mapping[str, str | bytes] | httpx.BasicAuth,
    status: int,
) -> None:
    auth, given = (headers, {}) if isinstance(headers, httpx.BasicAuth) else (None, headers)
    answer = client_of(Home(tmp_path), credentials).post(
        DEFAULT_PATH, content=body("a"), auth=auth, headers=list(given.items())
    )
    assert answer.status_code == status
    assert len(landed(Home(tmp_path))) == (status == 200)


def test_what_cannot_be_kept_is_not_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(Home(tmp_path))
    assert client.post(DEFAULT_PATH, content=b"", auth=AUTH).status_code == 400
    assert client.get(DEFAULT_PATH, auth=AUTH).status_code == 405
    assert client.get("/health").status_code == 200
    encoded = {"content-encoding": "br"}
    assert client.post(DEFAULT_PATH, content=b"x", auth=AUTH, headers=encoded).status_code == 415

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(streams, "land", full)
    assert client.post(DEFAULT_PATH, content=body("a"), auth=AUTH).status_code == 503
    assert landed(Home(tmp_path)) == []


def test_a_body_larger_than_memory_allows_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "BODY_IN_MEMORY_BYTES", 1000)
    monkeypatch.setattr(streams, "COPY_BYTES", 700)
    content = body(*(f"u-{n}" for n in range(50)))
    client_of(Home(tmp_path)).post(DEFAULT_PATH, content=content, auth=AUTH)
    assert landed(Home(tmp_path))[0].read_bytes() == content


def settings_of(home: Path, now: str = "2026-03-02T12:00:00Z") -> Settings:
    return load_settings(home, environ={"RELAY_NOW": now})


def load(settings: Settings) -> tuple[int, int, int]:
    connection = warehouse.connect(settings)
    try:
        result = load_moengage_events(connection, settings)
    finally:
        connection.close()
    return result.loaded, result.duplicates, result.rejected


def test_what_was_received_is_loaded_once(tmp_path: Path) -> None:
    client = client_of(Home(tmp_path))
    for content in (body("a", "b"), body("b", "c"), b"not json"):
        client.post(DEFAULT_PATH, content=content, auth=AUTH)
    assert load(settings_of(tmp_path)) == (3, 1, 1)
    assert load(settings_of(tmp_path)) == (0, 0, 0)
    client.post(DEFAULT_PATH, content=body("d"), auth=AUTH)
    # Two days on the day is closed, and its folder is not listed again.
    assert load(settings_of(tmp_path, "2026-03-04T00:00:00Z")) == (1, 0, 0)
    client.post(DEFAULT_PATH, content=body("e"), auth=AUTH)
    assert load(settings_of(tmp_path, "2026-03-04T00:00:00Z")) == (0, 0, 0)


def test_a_body_that_was_changed_keeps_the_others_from_nothing(tmp_path: Path) -> None:
    client = client_of(Home(tmp_path))
    for uuid in "abc":
        client.post(DEFAULT_PATH, content=body(uuid), auth=AUTH)
    landed(Home(tmp_path))[1].write_bytes(body("z"))
    settings = settings_of(tmp_path)
    connection = warehouse.connect(settings)
    result = load_moengage_events(connection, settings)
    connection.close()
    assert (result.loaded, len(result.failures), result.exit_code) == (2, 1, 1)
    assert "SHA-256" in result.failures[0].reason


class Served:
    """The application under uvicorn on a free port, as the command runs it."""

    def __init__(self, app: Any) -> None:
        self.server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self) -> str:
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}{DEFAULT_PATH}"

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(10)


def test_moengage_repeats_until_it_is_answered(tmp_path: Path) -> None:
    home = Home(tmp_path)
    app = streams_app(home, BASIC, now=lambda: NOON)
    refusals = iter([True, True, False, False, False])

    async def flaky(scope: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        # The body is stored, but the answer is lost on the way.
        async def lost(message: Any) -> None:
            if message["type"] == "http.response.start" and next(refusals):
                message = {**message, "status": 502}
            await send(message)

        await app(scope, receive, lost if scope["type"] == "http" else send)

    events = [moengage_event({"event_uuid": f"u-{n}"}) for n in range(250)]
    with Served(flaky) as address:
        deliveries = send_streams(address, events, auth=AUTH, factor=0)
    assert [one.statuses for one in deliveries] == [(502, 502, 200), (200,), (200,)]
    assert load(settings_of(tmp_path)) == (250, 0, 0)


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({}, "set MOENGAGE_STREAMS_USER"),
        ({"MOENGAGE_STREAMS_USER": "moe"}, "go together"),
        ({"MOENGAGE_STREAMS_PASSWORD": "p4ss"}, "go together"),
        ({"MOENGAGE_STREAMS_HEADER": "no colon k3y"}, "Name: value"),
        ({"MOENGAGE_STREAMS_HEADER": "Bad Name: k3y"}, "Name: value"),
    ],
)
def test_nobody_is_let_in_without_credentials(
    tmp_path: Path, variables: dict[str, str], problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        streams_credentials(load_settings(tmp_path, environ=variables).env)
    assert not any(value in str(caught.value) for value in ("k3y", "p4ss"))


def test_an_open_line_is_for_loopback_or_behind_a_proxy(tmp_path: Path) -> None:
    Address("127.0.0.1", 0).check()
    Address("0.0.0.0", 0, is_behind_proxy=True).check()
    with pytest.raises(ConfigurationError, match="loopback only"):
        Address("0.0.0.0", 0).check()
    pem = tmp_path / "x.pem"
    pem.write_text("no certificate")
    with pytest.raises(ConfigurationError, match="go together"):
        Address("127.0.0.1", 0, certificate=pem).check()
    with pytest.raises(ConfigurationError, match="not a certificate"):
        Address("127.0.0.1", 0, certificate=pem, key=pem).check()
