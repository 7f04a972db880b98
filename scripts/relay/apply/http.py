"""One pooled connection to a vendor: a request goes out, an `Exchange` comes back.

Nothing raises for what a vendor or the network does: each of it is a fact about the rows of the
request. A request goes to the configured host or not at all, and is never redirected.
"""

import contextlib
import gzip
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import httpx

from relay.apply.verdicts import NO_ANSWER, NOT_OPENED, Exchange
from relay.errors import ConfigurationError, PlanError, VendorError
from relay.http import (
    USER_AGENT,
    Timeouts,
    is_loopback,
    never_sent,
    open_client,
    origin_of,
    read_error_body,
    tls_context,
)

MAX_ANSWER_BYTES = 32 * 1024 * 1024
TIMEOUTS = Timeouts(connect=10.0, read=60.0, write=60.0)
FILE_TIMEOUTS = Timeouts(connect=10.0, read=300.0, write=300.0)
BLOCK_BYTES = 1024 * 1024


class Connection:
    """A host of a vendor, its credentials, and a pool of connections; threads may share it.

    Args:
        host: Scheme and authority.
        variable: Where the host is configured, for messages.
        headers: Credentials and what else goes with each request.
        auth: HTTP Basic user and password.
        connections: Most at once.
        timeouts: In seconds; default: `TIMEOUTS`.
        transport: For tests, instead of the network.

    Raises:
        ConfigurationError: The host is none, or a credential cannot stand in a header.
    """

    def __init__(
        self,
        host: str,
        *,
        variable: str,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        connections: int = 8,
        timeouts: Timeouts | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        for name, value in (headers or {}).items():
            if not value.isascii() or not value.isprintable() or value != value.strip():
                raise ConfigurationError(
                    f"the value for {name} has characters that cannot be sent (not ASCII, a line "
                    "break, or a space at an end); set it again"
                )
        self._timeouts = timeouts or TIMEOUTS
        self._client = open_client(
            host,
            name=variable,
            auth=auth,
            headers=headers,
            timeouts=self._timeouts,
            connections=connections,
            transport=transport,
        )
        self._origin = origin_of(self._client.base_url)

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
        content_type: str = "application/json",
        compress: bool = False,
        step: str = "",
    ) -> Exchange:
        """Send one request and read its whole answer.

        Args:
            method: Such as `POST`.
            path: Below the host, beginning with one slash.
            query: Parameters of the address.
            body: As it is to arrive.
            content_type: Of the body.
            compress: Send the body gzipped.
            step: Kept in the exchange.

        Raises:
            PlanError: The path leads to another host.
        """
        if not path.startswith("/") or path.startswith("//"):
            raise PlanError(f"a request is planned for {path!r}: expected a path such as /1/upload")
        headers = {"Content-Type": content_type}
        if compress:
            body = gzip.compress(body, 1, mtime=0)
            headers["Content-Encoding"] = "gzip"
        request = self._client.build_request(
            method, path, params=dict(query) if query else None, headers=headers, content=body
        )
        if origin_of(request.url) != self._origin:
            raise PlanError(f"a request is planned for another host than {self._origin}")
        try:
            response = self._client.send(request, stream=True)
        except httpx.TransportError as error:
            return _failed(error, step)
        return _read(response, step, self._timeouts.read)

    def close(self) -> None:
        """Close the pool."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def put_file(
    url: str, path: Path, *, content_type: str, allow_loopback: bool, step: str = "put"
) -> Exchange:
    """Upload a file to an address that a vendor answered with. No credential goes along.

    Args:
        url: Presigned, so itself a key: it is neither stored nor told.
        path: The file; it is read in blocks.
        content_type: Of the file.
        allow_loopback: Whether plain http to this machine is taken (an emulator).
        step: Kept in the exchange.

    Raises:
        VendorError: The address is not https.
    """
    try:
        target = httpx.URL(url)
    except httpx.InvalidURL:
        raise VendorError("the vendor answered with an address that is none") from None
    plain = target.scheme == "http" and allow_loopback and is_loopback(target)
    if not target.host or target.userinfo or not (target.scheme == "https" or plain):
        raise VendorError(
            f"the vendor answered with the address {origin_of(target)}; expected https"
        )
    headers = {
        "User-Agent": USER_AGENT,
        "Content-Type": content_type,
        "Content-Length": str(path.stat().st_size),
    }
    timeout = FILE_TIMEOUTS.as_httpx()
    outside = not is_loopback(target)
    with httpx.Client(timeout=timeout, trust_env=outside, verify=tls_context()) as client:
        request = client.build_request("PUT", target, headers=headers, content=_blocks(path))
        try:
            response = client.send(request, stream=True)
        except httpx.TransportError as error:
            return _failed(error, step)
        return _read(response, step, FILE_TIMEOUTS.read)


def _blocks(path: Path) -> Iterator[bytes]:
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        while block := file.read(BLOCK_BYTES):
            yield block


def _failed(error: httpx.TransportError, step: str) -> Exchange:
    return Exchange(None, failure=NOT_OPENED if never_sent(error) else NO_ANSWER, step=step)


def _read(response: httpx.Response, step: str, longest: float) -> Exchange:
    """Read the answer; a success whose body does not come whole is no answer."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    try:
        if response.status_code >= 300:
            return Exchange(response.status_code, read_error_body(response), headers, step=step)
        body = bytearray()
        end = time.monotonic() + longest
        for block in response.iter_bytes():
            body += block
            if len(body) > MAX_ANSWER_BYTES or time.monotonic() > end:
                return Exchange(None, failure=NO_ANSWER, step=step)
        return Exchange(response.status_code, bytes(body), headers, step=step)
    except (httpx.TransportError, httpx.DecodingError):
        return Exchange(None, failure=NO_ANSWER, step=step)
    finally:
        response.close()
