"""What every conversation with a vendor needs: a client, safe redirects, retries, careful words.

Rules kept here, once:

* https only; plain http on loopback only (emulators and tests). Certificates are always checked.
* Credentials stay with the origin they were given for. A redirect to another origin is followed by
  a request built from nothing: no authorization, no cookie, no header of the client.
* An address a vendor answers with may be presigned, that is, a key. It is never stored, and
  messages name its origin only. httpx and httpcore log whole addresses and headers: both are
  silenced here.
* What a vendor answers is shown short and without our keys (a live answer is known to repeat them).
"""

import email.utils
import functools
import ipaddress
import logging
import random
import ssl
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx
import stamina
import stamina.instrumentation
import structlog

from relay import __version__
from relay.errors import ConfigurationError, VendorError

Result = TypeVar("Result")

USER_AGENT = f"cohort-relay/{__version__}"
MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
SHORT_TEXT = 200
ERROR_BODY_BYTES = 16_384

log = structlog.get_logger(__name__)

for _noisy in ("httpx", "httpcore"):
    logging.getLogger(_noisy).setLevel(logging.WARNING)
# `retry` writes its own line, without the error's words: those may hold what a vendor echoed.
stamina.instrumentation.set_on_retry_hooks([])


class StoppedError(Exception):
    """The run was asked to stop while this request was waiting for its turn or its retry."""


class LinkedStop(threading.Event):
    """An event that is also set while another one is: ends a part, without ending the whole.

    Args:
        whole: The other event; None for none.
    """

    _GLANCE_SECONDS = 0.2

    def __init__(self, whole: threading.Event | None = None) -> None:
        super().__init__()
        self._whole = whole

    def is_set(self) -> bool:
        """Whether this event or the other one is set."""
        return super().is_set() or (self._whole is not None and self._whole.is_set())

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until either is set, `timeout` seconds at most; whether one is."""
        end = None if timeout is None else time.monotonic() + timeout
        while not self.is_set():
            left = self._GLANCE_SECONDS if end is None else end - time.monotonic()
            if left <= 0:
                return False
            super().wait(min(left, self._GLANCE_SECONDS))
        return True


@dataclass(frozen=True)
class Timeouts:
    """Seconds to connect, between two pieces of an answer, to send, to wait for a connection."""

    connect: float = 10.0
    read: float = 120.0
    write: float = 60.0
    pool: float = 600.0

    def as_httpx(self) -> httpx.Timeout:
        """The same for httpx."""
        return httpx.Timeout(connect=self.connect, read=self.read, write=self.write, pool=self.pool)


@dataclass(frozen=True)
class RetryPolicy:
    """How often a request is tried and how long is waited in between, in seconds.

    The n-th wait is `wait_initial * 2**(n-1)`, at most `wait_max`, less up to half of it at random,
    so that several clients do not come back at one moment. A `Retry-After` of the vendor is kept
    to, up to `retry_after_max`.
    """

    attempts: int = 8
    wait_initial: float = 1.0
    wait_max: float = 60.0
    retry_after_max: float = 300.0

    def wait(self, failures: int, asked: float | None, chance: random.Random) -> float:
        """Seconds to wait after the `failures`-th failure; `asked` is what the vendor asked for."""
        if asked is not None:
            return min(max(asked, 0.0), self.retry_after_max)
        longest = min(self.wait_max, self.wait_initial * 2.0 ** min(failures - 1, 30))
        return longest * (0.5 + chance.random() / 2)


class StatusError(Exception):
    """A vendor answered with a status that is no success.

    Args:
        status: HTTP status.
        text: What the vendor said, short and without keys; empty when it said nothing readable.
        retry_after: Seconds the vendor asked to wait, where it did.
    """

    def __init__(self, status: int, text: str = "", retry_after: float | None = None) -> None:
        self.status = status
        self.text = text
        self.retry_after = retry_after
        super().__init__(f"HTTP {status}{f': {text}' if text else ''}")


# --- addresses ---------------------------------------------------------------------------------


def is_loopback(url: httpx.URL) -> bool:
    """Whether the address is this machine, by name or number."""
    if url.host in {"localhost", "localhost."}:
        return True
    try:
        return ipaddress.ip_address(url.host).is_loopback
    except ValueError:
        return False


def origin_of(url: httpx.URL | str) -> str:
    """Scheme, host and port: the part of an address that may be shown."""
    url = httpx.URL(url)
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def checked_host(address: str, *, name: str) -> str:
    """The host to talk to, without trailing slash.

    Args:
        address: Scheme and authority, such as `https://amplitude.com`.
        name: Where it was configured, for the message.

    Raises:
        ConfigurationError: It is no such address, has a path, query or user, or is http elsewhere
            than on loopback.
    """
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"{name}: not an address: {error}") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise ConfigurationError(f"{name}: expected https://host, got {origin_of(url)!r}")
    if url.userinfo or url.query or url.fragment or url.path not in {"", "/"}:
        raise ConfigurationError(
            f"{name}: expected scheme and host only (https://host), nothing behind {origin_of(url)}"
        )
    if url.scheme == "http" and not is_loopback(url):
        raise ConfigurationError(
            f"{name}: {origin_of(url)} is plain http; use https (http only on 127.0.0.1)"
        )
    return origin_of(url)


# --- client and requests -----------------------------------------------------------------------


def open_client(
    host: str,
    *,
    name: str = "host",
    auth: tuple[str, str] | httpx.Auth | None = None,
    headers: Mapping[str, str] | None = None,
    timeouts: Timeouts | None = None,
    connections: int = 8,
    transport: httpx.BaseTransport | None = None,
) -> httpx.Client:
    """A client for one vendor host; close it, or use it in a `with`.

    Args:
        host: Scheme and authority; checked by `checked_host`.
        name: Where `host` was configured, for that check's message.
        auth: HTTP Basic user and password, or an httpx scheme; sent to this origin only.
        headers: Sent with each request to this origin only.
        timeouts: Default `Timeouts()`.
        connections: Most connections at once.
        transport: For tests, instead of the network.

    Raises:
        ConfigurationError: See `checked_host`.
    """
    base = checked_host(host, name=name)
    return httpx.Client(
        base_url=base,
        auth=auth,
        headers={"User-Agent": USER_AGENT, **(headers or {})},
        timeout=(timeouts or Timeouts()).as_httpx(),
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        follow_redirects=False,
        verify=tls_context(),
        # A proxy of the environment is for the world outside, never for the loopback.
        trust_env=not is_loopback(httpx.URL(base)),
        transport=transport,
    )


@functools.cache
def tls_context() -> ssl.SSLContext:
    """The certificates to trust, read once: that takes longer than many a request."""
    return httpx.create_ssl_context()


@contextmanager
def stream(
    client: httpx.Client,
    method: str,
    path: str,
    *,
    params: Any = None,
    headers: Mapping[str, str] | None = None,
    content: bytes | None = None,
) -> Iterator[httpx.Response]:
    """Send one request and give the answer with its body still to be read.

    A GET or HEAD follows up to `MAX_REDIRECTS` redirects: within the origin as it was, to another
    origin without any credential or header of ours. Any other method gives the redirect as it is.

    Raises:
        VendorError: The redirect leads to plain http, to nowhere, or too often further.
        httpx.TransportError: See `never_sent`.
    """
    request = client.build_request(method, path, params=params, headers=headers, content=content)
    home = origin_of(request.url)
    response = client.send(request, stream=True)
    try:
        hops, is_home = 0, True
        while response.status_code in REDIRECTS and method in {"GET", "HEAD"}:
            hops += 1
            if hops > MAX_REDIRECTS:
                raise VendorError(f"{home} redirected more than {MAX_REDIRECTS} times")
            target = _redirect_target(response)
            response.close()
            # Once away, a way back is no longer ours to give credentials to.
            is_home = is_home and origin_of(target) == home
            if is_home:
                request = client.build_request(method, target, headers=headers)
                response = client.send(request, stream=True)
            else:
                bare = httpx.Request(
                    method,
                    target,
                    headers={"User-Agent": USER_AGENT, "Accept": "*/*"},
                    extensions={"timeout": client.timeout.as_dict()},
                )
                response = client.send(bare, stream=True, auth=None)
        yield response
    finally:
        response.close()


def _redirect_target(response: httpx.Response) -> httpx.URL:
    """Where a redirect leads, checked; the message names origins only."""
    source = response.request.url
    try:
        target = source.join(response.headers["location"])
    except (KeyError, httpx.InvalidURL):
        raise VendorError(
            f"{origin_of(source)} answered {response.status_code} without a usable location"
        ) from None
    if target.userinfo:
        raise VendorError(f"{origin_of(source)} redirected to an address with a user in it")
    allowed = target.scheme == "https" or (
        target.scheme == "http" and is_loopback(target) and is_loopback(source)
    )
    if not target.host or not allowed:
        raise VendorError(
            f"{origin_of(source)} redirected to {origin_of(target)}; expected an https address"
        )
    return target


def never_sent(error: Exception) -> bool:
    """Whether the request certainly did not reach the vendor: no connection was opened for it."""
    return isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)


def is_network_failure(error: Exception) -> bool:
    """Whether the network failed, before, during or after sending (and not our own request)."""
    return isinstance(error, httpx.TransportError) and not isinstance(
        error, httpx.UnsupportedProtocol | httpx.LocalProtocolError
    )


def retry_after(response: httpx.Response, now: datetime | None = None) -> float | None:
    """Seconds of the `Retry-After` header, a number or a date in it; None without a usable one.

    Source: RFC 9110, section 10.2.3.
    """
    value = str(response.headers.get("retry-after", "")).strip()
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        at = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - (now or datetime.now(UTC))).total_seconds())


def short_text(text: str, secrets: Collection[str] = ()) -> str:
    """A vendor's words fit for a message: one line, at most 200 characters, no key of ours."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= SHORT_TEXT else text[: SHORT_TEXT - 1] + "…"


def read_error_body(response: httpx.Response) -> bytes:
    """The first 16 KiB of an answer that is no success; what cannot be read is left out."""
    body = bytearray()
    try:
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) >= ERROR_BODY_BYTES:
                break
    except httpx.TransportError:
        # The status alone decides what is done; a cut-off explanation is no second failure.
        pass
    return bytes(body[:ERROR_BODY_BYTES])


# --- retries -----------------------------------------------------------------------------------


def retry(
    operation: Callable[[], Result],
    *,
    policy: RetryPolicy,
    when: Callable[[Exception], bool | float],
    stop: threading.Event | None = None,
    chance: random.Random | None = None,
) -> Result:
    """Call `operation` until it returns, gives up, or the policy's attempts are used.

    Args:
        operation: Does the whole request, from the start each time.
        policy: How often and how long between.
        when: For an error: False gives up, True tries again after the policy's wait, a number tries
            again after that many seconds (the vendor's `Retry-After`).
        stop: Ends every wait at once when set.
        chance: Randomness of the waits.

    Raises:
        StoppedError: `stop` was set before an attempt or during a wait.
        Exception: The last error of `operation`.
    """
    chance = chance or random.Random()  # noqa: S311 - spreads waits, guards nothing
    stop = stop or threading.Event()
    failures = 0

    def hook(error: Exception) -> bool | float:
        nonlocal failures
        failures += 1
        answer = False if isinstance(error, StoppedError) else when(error)
        if answer is False:
            return False
        if failures < policy.attempts:
            seconds = policy.wait(failures, None if answer is True else float(answer), chance)
            log.info(
                "request.failed",
                error=type(error).__name__,
                status=getattr(error, "status", None),
                attempt=failures,
                wait_seconds=round(seconds, 1),
            )
            # Waiting here and not in stamina lets `stop` end it.
            stop.wait(seconds)
        return 0.0

    for attempt in stamina.retry_context(on=hook, attempts=policy.attempts, timeout=None):
        with attempt:
            if stop.is_set():
                raise StoppedError
            return operation()
    raise AssertionError("stamina ended without a result or an error")
