"""The rules of `relay.http`: credentials, redirects, retries, words."""

import logging
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest

from relay import http
from relay.errors import ConfigurationError, VendorError

SECRET = "made-up-passcode"
FAST = http.RetryPolicy(attempts=4, wait_initial=0.0, wait_max=0.0)


def client_answering(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.Client:
    return http.open_client(
        "https://vendor.example",
        auth=("key", SECRET),
        headers={"X-Passcode": SECRET},
        transport=httpx.MockTransport(answer),
    )


@pytest.mark.parametrize(
    "address",
    [
        "http://vendor.example",
        "https://user:word@vendor.example",
        "https://vendor.example/path",
        "https://vendor.example?x=1",
        "ftp://vendor.example",
        "vendor.example",
        "https://",
        "http://127.0.0.1.vendor.example",
    ],
)
def test_a_host_is_https_and_nothing_else(address: str) -> None:
    with pytest.raises(ConfigurationError, match="AMPLITUDE_API_URL") as caught:
        http.checked_host(address, name="AMPLITUDE_API_URL")
    assert "word" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:8000", "http://localhost:1/", "http://[::1]:5"]
)
def test_loopback_may_be_plain_http(address: str) -> None:
    assert http.checked_host(address, name="x") == address.rstrip("/")


def test_a_redirect_elsewhere_carries_nothing_of_ours() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if request.url.host == "vendor.example":
            headers = {"location": "https://files.example/f?X-Signature=abc", "set-cookie": "s=1"}
            return httpx.Response(302, headers=headers)
        return httpx.Response(200, content=b"data")

    with client_answering(answer) as client, http.stream(client, "GET", "/file") as response:
        assert response.read() == b"data"
    assert seen[0].headers["authorization"].startswith("Basic ")
    assert sorted(seen[1].headers) == ["accept", "host", "user-agent"]
    assert SECRET not in str(seen[1].headers.raw)
    assert seen[1].url.query == b"X-Signature=abc"


def test_a_redirect_within_the_origin_keeps_credentials_until_it_leaves() -> None:
    seen: list[httpx.Request] = []
    hops = {
        "/file": "/elsewhere",
        "/elsewhere": "https://files.example/1",
        "/1": "https://vendor.example/back",
    }

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        target = hops.get(request.url.path)
        return httpx.Response(307, headers={"location": target}) if target else httpx.Response(200)

    with client_answering(answer) as client, http.stream(client, "GET", "/file") as response:
        assert response.status_code == 200
    assert [("authorization" in request.headers) for request in seen] == [True, True, False, False]


@pytest.mark.parametrize(
    "location",
    [
        "http://files.example/f?sig=abc",
        "http://127.0.0.1:99/f?sig=abc",
        "ftp://files.example/f",
        "https://u:p@files.example/f",
        "https:///f",
        None,
    ],
)
def test_a_redirect_to_anything_but_https_is_refused(location: str | None) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"location": location} if location else {})

    with (
        client_answering(answer) as client,
        pytest.raises(VendorError) as caught,
        http.stream(client, "GET", "/file"),
    ):
        pass
    assert "sig" not in str(caught.value)


def test_a_circle_of_redirects_ends() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"location": "/file"})

    with (
        client_answering(answer) as client,
        pytest.raises(VendorError, match="more than 5"),
        http.stream(client, "GET", "/file"),
    ):
        pass


def test_a_post_is_never_redirected() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(308, headers={"location": "https://files.example/"})

    with (
        client_answering(answer) as client,
        http.stream(client, "POST", "/x", content=b"{}") as response,
    ):
        assert response.status_code == 308


def test_neither_address_nor_header_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "vendor.example":
            return httpx.Response(302, headers={"location": "https://files.example/f?sig=abc"})
        return httpx.Response(200)

    with client_answering(answer) as client, http.stream(client, "GET", "/file"):
        pass
    assert "sig=abc" not in caplog.text
    assert "vendor.example" not in caplog.text


def test_what_is_retried_and_how_often() -> None:
    calls: list[int] = []

    def fails() -> int:
        calls.append(1)
        raise http.StatusError(503)

    with pytest.raises(http.StatusError):
        http.retry(fails, policy=FAST, when=lambda error: True)
    assert len(calls) == 4
    calls.clear()
    with pytest.raises(http.StatusError):
        http.retry(fails, policy=FAST, when=lambda error: False)
    assert len(calls) == 1


def test_waits_grow_are_capped_and_follow_the_vendor() -> None:
    policy = http.RetryPolicy(wait_initial=1, wait_max=10, retry_after_max=30)
    chance = random.Random(1)
    waits = [policy.wait(failures, None, chance) for failures in range(1, 40)]
    for failures, wait in enumerate(waits, start=1):
        assert min(10, 2 ** (failures - 1)) / 2 <= wait <= min(10, 2 ** (failures - 1))
    assert policy.wait(1, 7.0, chance) == 7
    assert policy.wait(1, 3600.0, chance) == 30


def test_stop_ends_a_wait_at_once() -> None:
    stop = threading.Event()
    policy = http.RetryPolicy(attempts=3, wait_initial=3600, wait_max=3600)

    def fails() -> None:
        stop.set()
        raise http.StatusError(503)

    with pytest.raises(http.StoppedError):
        http.retry(fails, policy=policy, when=lambda error: True, stop=stop)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("Mon, 02 Mar 2026 12:00:30 GMT", 30.0),
        ("Mon, 02 Mar 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_retry_after_as_number_or_date(value: str, seconds: float | None) -> None:
    response = httpx.Response(429, headers={"retry-after": value})
    assert http.retry_after(response, datetime(2026, 3, 2, 12, tzinfo=UTC)) == seconds


def test_words_of_a_vendor_are_short_and_without_keys() -> None:
    text = http.short_text(f"Invalid API key: {SECRET}\n\t\x00now " + "x" * 500, [SECRET, ""])
    assert text.startswith("Invalid API key: *** now x")
    assert len(text) == 200


def test_errors_of_the_network_are_told_apart() -> None:
    assert http.never_sent(httpx.ConnectTimeout("x"))
    assert not http.never_sent(httpx.ReadTimeout("x"))
    assert http.is_network_failure(httpx.RemoteProtocolError("x"))
    assert not http.is_network_failure(httpx.LocalProtocolError("x"))
    assert not http.is_network_failure(ValueError("x"))
