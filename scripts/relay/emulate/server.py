"""One thread, one event loop, one uvicorn server: every emulated origin on a port of its own."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Mapping
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

LOOPBACK = "127.0.0.1"
BACKLOG = 512
STOP_SECONDS = 10.0
LINGER_SECONDS = 0.005


class Connection:
    """The connection of one client; it can be reset."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def reset(self) -> None:
        """End it at once with a TCP reset, whatever is still to be sent."""
        raw = self._transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


class Server:
    """Serves applications on loopback until it is stopped.

    Args:
        applications: An ASGI application per origin. In `scope["extensions"]["relay.connection"]`
            it finds the `Connection` of the request.
        ports: The port of an origin; a free one where none is given.

    Raises:
        OSError: A port is taken.
    """

    def __init__(
        self, applications: Mapping[str, ASGIApp], ports: Mapping[str, int] | None = None
    ) -> None:
        self._by_port: dict[int, ASGIApp] = {}
        self._connections: dict[Any, Connection] = {}
        self._sockets: list[socket.socket] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._serving: asyncio.Task[None] | None = None
        self._started = threading.Event()
        self._thread: threading.Thread | None = None
        self.urls: dict[str, str] = {}
        wanted = ports or {}
        try:
            for origin, application in applications.items():
                listening = _listen(wanted.get(origin, 0))
                self._sockets.append(listening)
                port = listening.getsockname()[1]
                self._by_port[port] = application
                self.urls[origin] = f"http://{LOOPBACK}:{port}"
        except OSError:
            self._close_sockets()
            raise
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._application,
                http=self._protocol(),
                interface="asgi3",
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=BACKLOG,
                timeout_keep_alive=75,
            )
        )

    def start(self) -> None:
        """Begin to serve; connections are taken from now on."""
        self._thread = threading.Thread(target=self._run, name="relay-emulators", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Drop every connection, end the thread, free the ports; once is enough, twice is fine."""
        if self._thread is None:
            self._close_sockets()
            return
        self._started.wait(STOP_SECONDS)
        assert self._loop is not None  # noqa: S101  (set before `_started`)
        asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        self._thread.join(STOP_SECONDS)
        self._thread = None
        self._close_sockets()

    def _run(self) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            self._serving = asyncio.create_task(self._server.serve(sockets=self._sockets))
            self._started.set()
            with contextlib.suppress(asyncio.CancelledError):
                await self._serving

        asyncio.run(serve())

    async def _end(self) -> None:
        """Stop without uvicorn's polite waits: nobody depends on an emulator's last answer."""
        for server in getattr(self._server, "servers", ()):  # none before it has started
            server.close()
        for connection in list(self._connections.values()):
            connection.reset()
        await asyncio.sleep(LINGER_SECONDS)
        assert self._serving is not None  # noqa: S101  (set before `_started`)
        self._serving.cancel()

    def _close_sockets(self) -> None:
        for listening in self._sockets:
            listening.close()

    async def _application(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("extensions", {})["relay.connection"] = self._connections[
            (scope["server"][1], tuple(scope["client"]))
        ]
        await self._by_port[scope["server"][1]](scope, receive, send)

    def _protocol(self) -> type[asyncio.Protocol]:
        """Uvicorn's protocol, which also keeps the connections for `Connection.reset`."""
        connections = self._connections

        class Protocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
            def connection_made(self, transport: asyncio.Transport) -> None:
                self.relay_key = (
                    transport.get_extra_info("sockname")[1],
                    transport.get_extra_info("peername"),
                )
                connections[self.relay_key] = Connection(transport)
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                connections.pop(self.relay_key, None)
                super().connection_lost(exc)

        return Protocol


def _listen(port: int) -> socket.socket:
    # The protocol is given by name: asyncio switches Nagle's delay off only where it reads TCP.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((LOOPBACK, port))
    except OSError:
        listening.close()
        raise
    listening.listen(BACKLOG)
    return listening
