"""A counting sink: takes uploads as CleverTap does and only counts; a process of its own.

Each record of `body_of` begins with `{"type":"event"`, so counting is a search for that.
"""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class Sink(asyncio.Protocol):
    """One connection."""

    records = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.data = bytearray()

    def data_received(self, data: bytes) -> None:
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.data[:end]).lower()
            at = head.find(b"content-length: ")
            length = int(head[at + 16 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.data) < end + 4 + length:
                return
            records = self.data[end + 4 : end + 4 + length].count(b'{"type":"event"')
            del self.data[: end + 4 + length]
            Sink.records += records
            answer = b'{"status":"success","processed":%d,"unprocessed":[]}' % records
            if head.startswith(b"get /count"):
                answer = b"%d" % Sink.records
            self.transport.write(  # type: ignore[attr-defined]
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                b"%d\r\n\r\n%s" % (len(answer), answer)
            )


@contextmanager
def counting_sink() -> Iterator[str]:
    """Start the sink; gives its address."""
    process = subprocess.Popen(
        [sys.executable, __file__], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.terminate()
        process.wait(10)


async def _serve() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    server = await asyncio.get_running_loop().create_server(Sink, sock=listener)
    print(listener.getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
