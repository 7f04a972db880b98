"""What goes through an emulator: a request read whole, and the answer it gets."""

import base64
import binascii
import gzip
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs

from starlette.types import Scope

JSON = "application/json"


def read_json(body: bytes) -> Any:
    """The JSON document of a body, strictly: UTF-8, no NaN or Infinity, not nested without end.

    Raises:
        ValueError: It is none.
    """
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


class Call:
    """One request, read to its end.

    Attributes:
        method, path: As they came.
        parameters: What the route's path names, such as `cohort_id`.
        body: The bytes as they came, not decompressed.
        crowded: Whether as many requests of its pool as the vendor allows were in flight already.
        refused: Positions of records that an ordered fault wants refused.
    """

    def __init__(self, scope: Scope, parameters: Mapping[str, str]) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.parameters = parameters
        self.body = b""
        self.crowded = False
        self.refused: tuple[int, ...] = ()
        self._query: bytes = scope["query_string"]
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]

    @cached_property
    def query(self) -> dict[str, list[str]]:
        """Query parameters, each with all its values in order."""
        if not self._query:
            return {}
        return parse_qs(self._query.decode("ascii", "replace"), keep_blank_values=True)

    def parameter(self, name: str) -> str | None:
        """The first value of a query parameter."""
        values = self.query.get(name)
        return None if values is None else values[0]

    def header(self, name: bytes) -> str | None:
        """The first value of a header; `name` in lower case."""
        for key, value in self._headers:
            if key == name:
                return value.decode("latin-1")
        return None

    @property
    def content_type(self) -> str:
        """The media type alone, in lower case; empty when there is none."""
        return (self.header(b"content-type") or "").partition(";")[0].strip().lower()

    @property
    def basic_auth(self) -> tuple[str, str] | None:
        """User and password of HTTP Basic; None when absent or unreadable."""
        scheme, _, encoded = (self.header(b"authorization") or "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return (user, password) if colon else None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: a body in memory, or a file that is sent in pieces and deleted afterwards."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    file: Path | None = None

    @classmethod
    def of(
        cls,
        document: Any,
        status: int = 200,
        *,
        content_type: str = JSON,
        headers: Mapping[str, str] | None = None,
    ) -> "Answer":
        """A JSON answer, compact, non-ASCII text as it is."""
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        body = text.encode("utf-8", "replace")  # half a surrogate pair cannot be written
        return cls(status, body, content_type, tuple((headers or {}).items()))

    @classmethod
    def text(cls, text: str, status: int = 200, *, content_type: str) -> "Answer":
        """An answer of plain text."""
        return cls(status, text.encode(), content_type)

    def zipped(self) -> "Answer":
        """The same with its body as gzip, without saying so in a header."""
        return Answer(
            self.status, gzip.compress(self.body, 1), self.content_type, self.headers, self.file
        )


class Refuse(Protocol):
    """Makes a vendor's error envelope."""

    def __call__(self, status: int, details: str) -> Answer:
        """The envelope with these details."""


Handler = Callable[[Call], Answer | Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """One path of a vendor.

    Attributes:
        name: What faults and counts call it.
        method: The one method it takes.
        path: Starlette's path template.
        handle: Gives the answer. A plain function runs under the vendor's lock; a coroutine takes
            the lock itself.
        pool: Requests with the same pool share a limit of requests in flight; None: unlimited.
        variant: Gives another name for some calls, such as a dry run; those of `variants`.
        partial: Whether the route has an answer that refuses single records.
    """

    name: str
    method: str
    path: str
    handle: Handler
    pool: str | None = None
    variant: Callable[[Call], str] | None = None
    variants: tuple[str, ...] = ()
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Exchange:
    """One line of a vendor's log: a request, and what became of it.

    Attributes:
        number: 1, 2, … over all routes of the vendor.
        at: The vendor's present when the request had been read.
        status: None when no answer went out.
        request_bytes: Size of the body as it came.
        authorization: Whether an `Authorization` header came along.
        faults: Kinds of the faults that hit it.
        body: The request body, where the vendor keeps bodies.
    """

    number: int
    at: datetime
    route: str
    method: str
    path: str
    status: int | None
    request_bytes: int
    authorization: bool
    faults: tuple[str, ...] = ()
    body: bytes | None = field(default=None, repr=False)

    def document(self) -> dict[str, Any]:
        """This line as JSON, without the body."""
        return {
            "number": self.number,
            "at": self.at.isoformat(),
            "route": self.route,
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "request_bytes": self.request_bytes,
            "authorization": self.authorization,
            "faults": list(self.faults),
        }
