"""What all emulated vendors share: routes, limits of requests in flight, faults, log and state."""

import asyncio
import inspect
import threading
from collections import Counter, deque
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from re import Pattern
from typing import Any, ClassVar, Protocol, cast

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.routing import Mount, compile_path
from starlette.types import Receive, Scope, Send

from relay.emulate.clock import Clock
from relay.emulate.control import control_routes
from relay.emulate.exchange import Answer, Call, Exchange, Route
from relay.emulate.faults import Fault, Faults

LOG_LINES = 10_000
PIECE = 1 << 18
HANG_SECONDS = 3600.0
HTML = "<html><head><title>{0}</title></head><body><h1>{0} Bad Gateway</h1></body></html>"


class Connection(Protocol):
    """What the server can do with the connection a request came by."""

    def reset(self) -> None:
        """End it at once with a TCP reset."""


class Vendor:
    """One emulated vendor: its routes, by origin, and what it remembers.

    Everything it remembers is guarded by `lock`; handlers run under it.

    Attributes:
        clock: The time it goes by, shared by all emulators.
        faults: What was ordered to go wrong.
        requests: Requests by route name.
        latency_seconds: Added to each answer, while the request counts as in flight.
        keep_bodies: Whether the log keeps request bodies.
    """

    name: ClassVar[str]

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.requests: Counter[str] = Counter()
        self.latency_seconds = 0.0
        self.keep_bodies = False
        self._answered = 0
        self._log: deque[Exchange] = deque(maxlen=LOG_LINES)
        self._in_flight: Counter[str] = Counter()
        self._most_in_flight: Counter[str] = Counter()
        self._origins: Mapping[str, list[Route]] = {}
        self.faults = Faults({})

    def offer(self, origins: Mapping[str, list[Route]]) -> None:
        """Take these routes, by origin (host); the last step of making a vendor."""
        self._origins = origins
        self.faults = Faults(
            {
                name: route.partial
                for routes in origins.values()
                for route in routes
                for name in (route.name, *route.variants)
            }
        )

    def pools(self) -> Mapping[str, int]:
        """How many requests of a pool may be in flight at once."""
        return {}

    def error(self, status: int, call: Call) -> Answer:
        """The vendor's own body for an error that is not the request's fault, and for 404, 405."""
        raise NotImplementedError

    def remembered(self) -> dict[str, Any]:
        """What the vendor holds, as a JSON document; called under the lock."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """What the vendor holds, with its counts and the last requests; the body of `/_state`."""
        with self.lock:
            return self.remembered() | {
                "now": self.clock.now().isoformat(),
                "requests": dict(self.requests),
                "most_in_flight": dict(self._most_in_flight),
                "faults": self.faults.document(),
                "log": [exchange.document() for exchange in self._log],
            }

    @property
    def log(self) -> list[Exchange]:
        """The last requests, oldest first."""
        with self.lock:
            return list(self._log)

    def applications(self) -> dict[str, Starlette]:
        """One ASGI application per origin."""
        return {
            origin: Starlette(routes=[*control_routes(self), Mount("/", Origin(self, routes))])
            for origin, routes in self._origins.items()
        }

    @contextmanager
    def place(self, pool: str | None, call: Call) -> Iterator[None]:
        """Hold a place among the requests in flight; a call that finds none is `crowded`."""
        limit = None if pool is None else self.pools().get(pool)
        if pool is None or limit is None:
            yield
            return
        with self.lock:
            call.crowded = self._in_flight[pool] >= limit
            if not call.crowded:
                self._in_flight[pool] += 1
                self._most_in_flight[pool] = max(self._most_in_flight[pool], self._in_flight[pool])
        try:
            yield
        finally:
            if not call.crowded:
                with self.lock:
                    self._in_flight[pool] -= 1

    def note(self, call: Call, route: str, status: int | None, faults: list[Fault]) -> None:
        """Add a line to the log."""
        with self.lock:
            self._answered += 1
            self._log.append(
                Exchange(
                    number=self._answered,
                    at=self.clock.now(),
                    route=route,
                    method=call.method,
                    path=call.path,
                    status=status,
                    request_bytes=len(call.body),
                    authorization=call.header(b"authorization") is not None,
                    faults=tuple(fault.kind for fault in faults),
                    body=call.body if self.keep_bodies else None,
                )
            )

    async def carry_out(self, route: Route, call: Call) -> Answer:
        """Let the route answer."""
        if inspect.iscoroutinefunction(route.handle):
            return await cast(Awaitable[Answer], route.handle(call))
        with self.lock:
            return cast(Answer, route.handle(call))


class Origin:
    """The ASGI application of one origin: finds the route and lets faults have their way."""

    def __init__(self, vendor: Vendor, routes: list[Route]) -> None:
        self.vendor = vendor
        self._exact: dict[str, list[Route]] = {
            route.path: [] for route in routes if "{" not in route.path
        }
        self._patterns: dict[str, tuple[Pattern[str], list[Route]]] = {}
        for route in routes:
            if "{" in route.path:
                pattern = compile_path(route.path)[0]
                self._patterns.setdefault(route.path, (pattern, []))[1].append(route)
            else:
                self._exact[route.path].append(route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        routes, parameters = self._find(scope["path"])
        call = Call(scope, parameters)
        route = next((one for one in routes if one.method == call.method), None)
        try:
            if route is None:
                call.body = await _read(receive)
                answer = self.vendor.error(405 if routes else 404, call)
                self.vendor.note(call, "unknown", answer.status, [])
                await _send(answer, send)
            else:
                await self._serve(route, call, scope, receive, send)
        except ClientDisconnect:
            self.vendor.note(call, "cut off" if route is None else route.name, None, [])

    def _find(self, path: str) -> tuple[list[Route], Mapping[str, str]]:
        exact = self._exact.get(path)
        if exact is not None:
            return exact, {}
        for pattern, routes in self._patterns.values():
            match = pattern.match(path)
            if match is not None:
                return routes, match.groupdict()
        return [], {}

    async def _serve(
        self, route: Route, call: Call, scope: Scope, receive: Receive, send: Send
    ) -> None:
        vendor = self.vendor
        name = route.variant(call) if route.variant else route.name
        faults = vendor.faults.take(name)
        with vendor.lock:
            vendor.requests[name] += 1
        answer: Answer | None
        with vendor.place(route.pool, call):
            call.body = await _read(receive)
            wait = vendor.latency_seconds + sum(f.seconds for f in faults if f.kind == "slow")
            if wait:
                await asyncio.sleep(wait)
            answer = await self._answer(route, call, faults)
        vendor.note(call, name, None if answer is None else answer.status, faults)
        kinds = {fault.kind for fault in faults}
        connection = cast(Connection, scope["extensions"]["relay.connection"])
        if answer is None:
            for fault in faults:
                if fault.kind == "timeout":
                    await _hang(receive, fault.seconds or HANG_SECONDS)
            await _reset(connection, receive)
            return
        if "corrupted" in kinds or "truncated" in kinds or "cut" in kinds:
            answer = await asyncio.to_thread(_in_memory, answer)
        if "corrupted" in kinds:
            answer = replace(answer, body=_corrupted(answer.body))
        if "truncated" in kinds:
            answer = replace(answer, body=answer.body[: len(answer.body) // 2])
        if "cut" in kinds:
            await _send(answer, send, stop_after=len(answer.body) // 2)
            await asyncio.sleep(0.01)
            await _reset(connection, receive)
            return
        await _send(answer, send)

    async def _answer(self, route: Route, call: Call, faults: list[Fault]) -> Answer | None:
        """The answer; None when none is to be sent."""
        for fault in faults:
            if fault.kind == "partial":
                call.refused = fault.positions
        fatal = next((f for f in faults if f.kind in ("status", "reset", "timeout", "html")), None)
        if fatal is None:
            return await self.vendor.carry_out(route, call)
        if fatal.stored:
            _discard(await self.vendor.carry_out(route, call))
        if fatal.kind == "status":
            return self.vendor.error(fatal.status, call)
        if fatal.kind == "html":
            page = HTML.format(fatal.status)
            return Answer.text(page, fatal.status, content_type="text/html")
        return None


async def _read(receive: Receive) -> bytes:
    """The whole body.

    Raises:
        ClientDisconnect: The client went away before its end; nothing of it may be carried out.
    """
    pieces: list[bytes] = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def _reset(connection: Connection, receive: Receive) -> None:
    """Reset, and let the server notice before the request ends."""
    connection.reset()
    await _hang(receive, 1.0)


async def _hang(receive: Receive, seconds: float) -> None:
    """Wait until the client gives up, or the time is over."""
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return


async def _send(answer: Answer, send: Send, *, stop_after: int | None = None) -> None:
    size = len(answer.body) if answer.file is None else answer.file.stat().st_size
    headers = [
        (b"content-type", answer.content_type.encode()),
        (b"content-length", str(size).encode()),
        *((name.lower().encode(), value.encode()) for name, value in answer.headers),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if answer.file is not None:
        await _send_file(answer.file, send)
    elif stop_after is None:
        await send({"type": "http.response.body", "body": answer.body})
    else:
        piece = answer.body[:stop_after]
        await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _send_file(path: Path, send: Send) -> None:
    try:
        with path.open("rb") as file:
            while piece := await asyncio.to_thread(file.read, PIECE):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        path.unlink(missing_ok=True)


def _discard(answer: Answer) -> None:
    if answer.file is not None:
        answer.file.unlink(missing_ok=True)


def _in_memory(answer: Answer) -> Answer:
    if answer.file is None:
        return answer
    body = answer.file.read_bytes()
    _discard(answer)
    return replace(answer, body=body, file=None)


def _corrupted(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 0x20]) + body[middle + 1 :] if body else body
