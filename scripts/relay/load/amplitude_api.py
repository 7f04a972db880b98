"""Amplitude's Export and Cohorts services: requests that wait, retry and explain themselves.

At most four requests are in flight at once: Amplitude allows five per project over all its REST
endpoints, and somebody else may need one. Source: Dashboard REST API, limits.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from relay import http
from relay.errors import ConfigurationError, VendorError
from relay.settings import Settings

Result = TypeVar("Result")

MOST_AT_ONCE = 4
# An export of many hours is put together before its first byte comes.
TIMEOUTS = http.Timeouts(read=300.0)
POLICY = http.RetryPolicy(attempts=8, wait_initial=2.0, wait_max=60.0)
_LARGEST_DOCUMENT = 64 * 1024 * 1024


class UnreachableError(VendorError):
    """Amplitude could not be reached, or was busy, for as long as it was tried.

    Args:
        message: What was tried.
        status: HTTP status of the last answer; None where there was none.
        is_taken: Amplitude may have taken the last request.
    """

    def __init__(self, message: str, *, status: int | None = None, is_taken: bool = True) -> None:
        self.status = status
        self.is_taken = is_taken
        super().__init__(message)


@dataclass
class AmplitudeApi:
    """A client with the project's keys; use it in a `with`. Its methods may run in threads.

    Attributes:
        settings: Whose keys and region.
        policy: Retries of what can be retried: 429, 5xx and failures of the network.
        stop: Ends waits and downloads when set.
        transport: For tests, instead of the network.
    """

    settings: Settings
    policy: http.RetryPolicy = POLICY
    stop: threading.Event = field(default_factory=threading.Event)
    transport: httpx.BaseTransport | None = None

    def __post_init__(self) -> None:
        env = self.settings.env
        env.require("amplitude_api_key", "amplitude_secret_key")
        assert env.amplitude_api_key is not None  # noqa: S101 - `require` saw to it
        assert env.amplitude_secret_key is not None  # noqa: S101
        keys = (
            env.amplitude_api_key.get_secret_value(),
            env.amplitude_secret_key.get_secret_value(),
        )
        self._secrets = keys
        self._slots = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._client = http.open_client(
            env.amplitude_host(),
            name="AMPLITUDE_API_URL",
            auth=keys,
            timeouts=TIMEOUTS,
            connections=MOST_AT_ONCE,
            transport=self.transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def call(
        self,
        path: str,
        use: Callable[[httpx.Response], Result],
        *,
        params: Any = None,
        expected: tuple[int, ...] = (200,),
        gives_up_on: tuple[int, ...] = (),
        is_repeatable: bool = True,
    ) -> Result:
        """GET `path`, and again while that may help, until `use` has read the answer.

        Args:
            path: Path on Amplitude's host.
            use: Reads the answer, whose body is still to come; called anew for each attempt.
            params: Of the query.
            expected: Statuses that `use` understands.
            gives_up_on: Statuses that would be tried again, but are of no use to repeat here.
            is_repeatable: Whether asking twice costs nothing; else only what Amplitude certainly
                did not take is asked again: 429, 503, and requests that were never sent.

        Raises:
            ConfigurationError: Amplitude refuses the keys (401, 403).
            http.StatusError: Another status, or one of `gives_up_on`.
            UnreachableError: No usable answer after every attempt; its `is_taken` tells whether
                Amplitude may have taken the request.
            http.StoppedError: The run is to stop.
        """

        def attempt() -> Result:
            with self._stream(path, params) as response:
                if response.status_code in expected:
                    return use(response)
                raise self._refusal(response)

        def when(error: Exception) -> bool | float:
            if isinstance(error, _ElsewhereError):
                return True
            if isinstance(error, http.StatusError):
                if not _is_busy(error.status) or error.status in gives_up_on:
                    return False
                if not is_repeatable and _may_be_taken(error):
                    return False
                return True if error.retry_after is None else error.retry_after
            return http.is_network_failure(error) and (is_repeatable or not _may_be_taken(error))

        status = None
        try:
            return http.retry(attempt, policy=self.policy, when=when, stop=self.stop)
        except http.StatusError as error:
            if not _is_busy(error.status) or error.status in gives_up_on:
                raise
            problem, status, is_taken = str(error), error.status, _may_be_taken(error)
        except (_ElsewhereError, httpx.TransportError) as error:
            problem, is_taken = str(error) or type(error).__name__, _may_be_taken(error)
        tries = f"after {self.policy.attempts} attempts " if is_repeatable or not is_taken else ""
        raise UnreachableError(
            f"{self.settings.env.amplitude_host()}: no usable answer {tries}({problem});"
            " run the command again later",
            status=status,
            is_taken=is_taken,
        )

    def document(
        self,
        path: str,
        *,
        params: Any = None,
        expected: tuple[int, ...] = (200,),
        is_repeatable: bool = True,
    ) -> tuple[int, Any]:
        """GET a JSON document: status and document. Errors as in `call`.

        Raises:
            VendorError: The answer is no JSON.
        """

        def read(response: httpx.Response) -> tuple[int, bytes]:
            body = bytearray()
            for piece in self.pieces(response):
                body += piece
                if len(body) > _LARGEST_DOCUMENT:
                    raise VendorError(f"{path}: the answer is larger than 64 MiB")
            return response.status_code, bytes(body)

        status, body = self.call(
            path, read, params=params, expected=expected, is_repeatable=is_repeatable
        )
        try:
            return status, json.loads(body)
        except ValueError:
            text = http.short_text(body[:1000].decode("utf-8", "replace"), self._secrets)
            raise VendorError(f"{path}: expected JSON, got {text!r}") from None

    def pieces(self, response: httpx.Response) -> Iterator[bytes]:
        """The body as it arrives.

        Raises:
            http.StoppedError: The run is to stop.
        """
        for piece in response.iter_bytes():
            if self.stop.is_set():
                raise http.StoppedError
            yield piece

    @contextmanager
    def _stream(self, path: str, params: Any) -> Iterator[httpx.Response]:
        with self._slots, http.stream(self._client, "GET", path, params=params) as response:
            yield response

    def _refusal(self, response: httpx.Response) -> Exception:
        """The error an answer that was not expected is raised as."""
        status = response.status_code
        text = self._words(response)
        home = self.settings.env.amplitude_host()
        if http.origin_of(response.url) != home:
            # A link of another host is good for a minute; the next attempt asks for a fresh one.
            return _ElsewhereError(f"{http.origin_of(response.url)} answered HTTP {status}")
        if status in {401, 403}:
            region = self.settings.env.amplitude_region or "us (AMPLITUDE_REGION is not set)"
            return ConfigurationError(
                f"Amplitude refuses the keys (HTTP {status}{f', {text}' if text else ''}): check"
                " AMPLITUDE_API_KEY and AMPLITUDE_SECRET_KEY, which must be of one project, and"
                f" AMPLITUDE_REGION, which is {region}; asked was {home}"
            )
        return http.StatusError(status, text, http.retry_after(response))

    def _words(self, response: httpx.Response) -> str:
        """What Amplitude says about a refusal, from its error envelope."""
        body = http.read_error_body(response)
        try:
            error = json.loads(body)["error"]
            details = error.get("metadata", {}).get("details") or error.get("message", "")
        except (ValueError, TypeError, KeyError, AttributeError):
            return ""
        return http.short_text(str(details), self._secrets)


def policy_for(settings: Settings) -> http.RetryPolicy:
    """How retries wait; an emulator on loopback need not be spared."""
    if http.is_loopback(httpx.URL(settings.env.amplitude_host())):
        return http.RetryPolicy(attempts=8, wait_initial=0.05, wait_max=1.0)
    return POLICY


def _is_busy(status: int) -> bool:
    """Whether the status may be another one later."""
    return status == 429 or status >= 500


def _may_be_taken(error: Exception) -> bool:
    """Whether Amplitude may have done what it was asked for, although there is no good answer."""
    if isinstance(error, http.StatusError):
        return error.status not in {429, 503}
    return not http.never_sent(error)


class _ElsewhereError(Exception):
    """A host that Amplitude sent us to did not give the file."""
