"""The webhook of MoEngage's Streams: authenticate, land the body, flush it, then answer 2xx.

MoEngage repeats a batch that is not answered with 2xx after 30, 60 and 120 seconds and then drops
it for good. So nothing is looked at here but who sends: what a body holds is the loader's business,
which keeps what it cannot read. The same body again is the same file.
"""

import hashlib
from collections.abc import Callable
from datetime import datetime
from tempfile import SpooledTemporaryFile
from typing import IO

import anyio
import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from relay.load.engagement import STREAMS_FOLDER
from relay.load.landing import land
from relay.receive.credentials import Credentials
from relay.settings import Home

# A body larger than this is kept in a file while it arrives.
BODY_IN_MEMORY_BYTES = 8 * 1024 * 1024
COPY_BYTES = 1024 * 1024
BODY_SECONDS = 120.0
DEFAULT_PATH = "/moengage/streams"

log = structlog.get_logger(__name__)


def streams_app(
    home: Home, credentials: Credentials, *, now: Callable[[], datetime], path: str = DEFAULT_PATH
) -> Starlette:
    """The receiver as an ASGI application.

    `POST path` answers 200 once the body is on disk, 401 without the credentials, 400 to an empty
    body, 408 to one that does not come to its end, 415 to an encoding other than gzip, and 503
    where it cannot be written. `GET /health` answers 200.

    Args:
        home: Whose landing/.
        credentials: Of the sender.
        now: The clock; a body belongs to the UTC day it came.
        path: Where Streams sends to.

    Source:
        MoEngage, Streams: API Request Format, Authentication Methods, retries.
    """

    async def receive(request: Request) -> Response:
        if not credentials.accept(request.headers):
            log.warning("streams.refused", reason="credentials")
            return _answer(401, "credentials are missing or wrong", {"www-authenticate": "Basic"})
        if request.headers.get("content-encoding", "identity") not in {"identity", "gzip"}:
            return _answer(415, "expected no content encoding, or gzip")
        with SpooledTemporaryFile(max_size=BODY_IN_MEMORY_BYTES) as spool:
            try:
                with anyio.fail_after(BODY_SECONDS):
                    size, sha256 = await _spool(request, spool)
            except (TimeoutError, ClientDisconnect):
                return _answer(408, "the body did not come to its end")
            if size == 0:
                return _answer(400, "the body is empty")
            try:
                is_new = await run_in_threadpool(land_body, home, spool, sha256, now())
            except OSError as error:
                log.error("streams.not_landed", error=type(error).__name__, errno=error.errno)
                return _answer(503, "the body could not be stored; send it again")
        log.info("streams.landed", bytes=size, sha256=sha256, is_new=is_new)
        return _answer(200, "stored" if is_new else "stored already")

    async def health(request: Request) -> Response:
        return _answer(200, "ready")

    return Starlette(
        routes=[Route(path, receive, methods=["POST"]), Route("/health", health, methods=["GET"])]
    )


def land_body(home: Home, body: IO[bytes], sha256: str, at: datetime) -> bool:
    """Write a body durably to the folder of the day it came; False when it is there already.

    Args:
        home: Whose landing/.
        body: Read from its beginning.
        sha256: Of the body, in hex: its name.
        at: When it came, UTC.
    """
    source_file = f"{STREAMS_FOLDER}/{at.date().isoformat()}/{sha256}.json"
    if (home.landing / source_file).exists():
        return False
    body.seek(0)
    land(home, source_file, iter(lambda: body.read(COPY_BYTES), b""))
    return True


def _answer(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"message": message}, status_code=status, headers=headers)


async def _spool(request: Request, spool: IO[bytes]) -> tuple[int, str]:
    """Take the body in; its size and SHA-256."""
    digest = hashlib.sha256()
    size = 0
    async for chunk in request.stream():
        digest.update(chunk)
        size += len(chunk)
        spool.write(chunk)
    return size, digest.hexdigest()
