"""The bucket beside the vendors: presigned addresses to fetch from and to put to.

It behaves as an S3 bucket does with presigned addresses: credentials in a header are a second
mechanism and refused with 400, an address whose time is over or whose signature is wrong with 403.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from relay.emulate.clock import Clock
from relay.emulate.exchange import Answer, Call, Route
from relay.emulate.vendor import Vendor

XML = "application/xml"


@dataclass(slots=True)
class _Object:
    signature: str
    expires: float
    writable: bool
    content_type: str
    read: Callable[[], bytes] | None = None
    written: bytes | None = None


class Files(Vendor):
    """Presigned objects on an origin of their own.

    Attributes:
        base_url: Scheme and authority under which clients reach it; known once ports are.
    """

    name = "files"

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.base_url = ""
        self._objects: dict[str, _Object] = {}
        path = "/{bucket}/{key}"
        reading = Route("get", "GET", path, self._get)
        writing = Route("put", "PUT", path, self._put)
        self.offer({"files": [reading, writing]})

    def to_read(
        self, bucket: str, read: Callable[[], bytes], *, seconds: float, content_type: str
    ) -> str:
        """A fresh address under which the object can be fetched for `seconds`."""
        return self._sign(bucket, seconds, _Object("", 0.0, False, content_type, read=read))

    def to_write(self, bucket: str, *, seconds: float) -> str:
        """A fresh address to which one object can be put for `seconds`."""
        return self._sign(bucket, seconds, _Object("", 0.0, True, ""))

    def written(self, url: str) -> bytes | None:
        """What was put to an address of `to_write`; None when nothing was.

        Raises:
            KeyError: The address is none of this bucket's.
        """
        with self.lock:
            for key, item in self._objects.items():
                if item.writable and url.startswith(self.base_url) and f"/{key}?" in url:
                    return item.written
        raise KeyError(url)

    def error(self, status: int, call: Call) -> Answer:
        """S3's XML envelope."""
        codes = {404: "NoSuchKey", 405: "MethodNotAllowed", 503: "SlowDown"}
        return _refusal(status, codes.get(status, "InternalError"), "We encountered an error.")

    def remembered(self) -> dict[str, Any]:
        """How many objects there are, and the sizes of those that were put."""
        written = [item.written for item in self._objects.values() if item.writable]
        return {
            "objects": len(self._objects),
            "written_bytes": [len(body) for body in written if body is not None],
        }

    def _sign(self, bucket: str, seconds: float, item: _Object) -> str:
        key, item.signature = secrets.token_hex(12), secrets.token_hex(16)
        item.expires = self.clock.elapsed() + seconds
        with self.lock:
            self._objects[key] = item
        signed = {"X-Amz-Expires": int(seconds), "X-Amz-Signature": item.signature}
        return f"{self.base_url}/{bucket}/{key}?{urlencode(signed)}"

    def _check(self, call: Call, *, writable: bool) -> _Object | Answer:
        if call.header(b"authorization") is not None:
            return _refusal(
                400,
                "InvalidArgument",
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, "
                "Signature query string parameter or the Authorization header should be specified",
            )
        item = self._objects.get(call.parameters["key"])
        if item is None or item.writable is not writable:
            return _refusal(403, "AccessDenied", "Access Denied")
        if call.parameter("X-Amz-Signature") != item.signature:
            return _refusal(403, "SignatureDoesNotMatch", "The signature does not match.")
        if self.clock.elapsed() >= item.expires:
            return _refusal(403, "AccessDenied", "Request has expired")
        return item

    def _get(self, call: Call) -> Answer:
        item = self._check(call, writable=False)
        if isinstance(item, Answer):
            return item
        assert item.read is not None  # noqa: S101  (only writable objects have no reader)
        return Answer(200, item.read(), item.content_type)

    def _put(self, call: Call) -> Answer:
        item = self._check(call, writable=True)
        if isinstance(item, Answer):
            return item
        item.written = call.body
        return Answer(200, b"", XML)


def _refusal(status: int, code: str, message: str) -> Answer:
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    body = f"{head}\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer.text(body, status, content_type=XML)
