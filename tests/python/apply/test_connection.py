"""The connection to a vendor, over real sockets on loopback."""

import contextlib
import gzip
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from relay.apply import http
from relay.apply.http import Connection, put_file
from relay.errors import ConfigurationError, VendorError
from relay.http import Timeouts, tls_context

QUICK = Timeouts(connect=2.0, read=0.3, write=2.0)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def served(answer: Callable[[socket.socket, bytes], None]) -> Iterator[tuple[str, list[bytes]]]:
    """A server that hands each connection and its request to `answer`; its address and requests."""
    requests: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                data = b""
                while b"\r\n\r\n" not in data:
                    data += connection.recv(65536)
                head, _, body = data.partition(b"\r\n\r\n")
                length = 0
                for header in head.split(b"\r\n"):
                    if header.lower().startswith(b"content-length:"):
                        length = int(header.split(b":")[1])
                while len(body) < length:
                    body += connection.recv(65536)
                requests.append(head + b"\r\n\r\n" + body)
                answer(connection, body)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}", requests
    finally:
        server.close()


def say(text: bytes) -> Callable[[socket.socket, bytes], None]:
    return lambda connection, body: connection.sendall(text)


def reset(connection: socket.socket, body: bytes) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    connection.close()


def silence(connection: socket.socket, body: bytes) -> None:
    time.sleep(1.0)


def drip(connection: socket.socket, body: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    for _ in range(20):
        try:
            connection.sendall(b"x")
        except OSError:
            return
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("answer", "status", "failure"),
    [
        (say(OK), 200, None),
        (say(b"HTTP/1.1 429 Slow\r\nContent-Length: 1000\r\n\r\nshort"), 429, None),
        (say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort"), None, "no_answer"),
        (
            say(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"),
            None,
            "no_answer",
        ),
        (say(b"no HTTP at all\r\n\r\n"), None, "no_answer"),
        (say(b""), None, "no_answer"),
        (reset, None, "no_answer"),
        (silence, None, "no_answer"),
        (drip, None, "no_answer"),
    ],
)
def test_whatever_comes_back_is_an_exchange(
    answer: Callable[[socket.socket, bytes], None], status: int | None, failure: str | None
) -> None:
    with served(answer) as (host, _), Connection(host, variable="X_URL", timeouts=QUICK) as vendor:
        started = time.monotonic()
        exchange = vendor.send("POST", "/1/upload", body=b"{}")
        assert time.monotonic() - started < 1.0
    assert (exchange.status, exchange.failure) == (status, failure)


def test_a_connection_that_never_opened_sent_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = f"http://127.0.0.1:{server.getsockname()[1]}"
    with Connection(host, variable="X_URL") as vendor:
        exchange = vendor.send("POST", "/1/upload", body=b"{}")
    assert (exchange.status, exchange.failure) == (None, "not_opened")


def test_an_answer_without_end_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_ANSWER_BYTES", 1000)
    answer = say(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000)
    with served(answer) as (host, _), Connection(host, variable="X_URL") as vendor:
        assert vendor.send("POST", "/x").failure == "no_answer"


def test_a_compressed_body_arrives_whole() -> None:
    with served(say(OK)) as (host, requests), Connection(host, variable="X_URL") as vendor:
        vendor.send("POST", "/collect/bulk/x", body=b'{"a":1}\n' * 500, compress=True)
    head, _, body = requests[0].partition(b"\r\n\r\n")
    assert b"content-encoding: gzip" in head.lower()
    assert gzip.decompress(body) == b'{"a":1}\n' * 500
    assert len(body) < 200


def test_queries_and_headers_are_sent_as_given() -> None:
    with (
        served(say(OK)) as (host, requests),
        Connection(host, variable="X_URL", headers={"Authorization": "token"}) as vendor,
    ):
        vendor.send("POST", "/x", query={"a": "1", "b": "ö&"}, body=b"{}")
    assert requests[0].startswith(b"POST /x?a=1&b=%C3%B6%26 HTTP/1.1\r\n")
    assert b"Authorization: token\r\n" in requests[0]


@pytest.mark.parametrize("value", ["line\nbreak", "nön-ascii", " planted "])
def test_a_credential_that_no_header_can_hold_is_refused_without_being_told(value: str) -> None:
    with pytest.raises(ConfigurationError, match="X-Key") as raised:
        Connection("https://vendor.test", variable="X_URL", headers={"X-Key": value})
    assert value.strip() not in str(raised.value)


@pytest.mark.parametrize("host", ["http://vendor.test", "ftp://vendor.test", "https://a/b"])
def test_a_host_must_be_https_or_this_machine(host: str) -> None:
    with pytest.raises(ConfigurationError, match="X_URL"):
        Connection(host, variable="X_URL")


def test_certificates_and_names_are_checked() -> None:
    context = tls_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_a_vendor_with_a_certificate_of_its_own_making_is_not_talked_to(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=localhost",
    ]
    names = ["-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*make, *names, *files], check=True, capture_output=True)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)

        def serve() -> None:
            connection, _ = server.accept()
            with contextlib.suppress(OSError), connection:
                server_side.wrap_socket(connection, server_side=True)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        host = f"https://localhost:{server.getsockname()[1]}"
        with Connection(host, variable="X_URL", timeouts=QUICK) as vendor:
            exchange = vendor.send("POST", "/1/upload", body=b"{}")
        thread.join(5)
    # Not a word of the request was sent: it may go again once the certificate is right.
    assert (exchange.status, exchange.failure) == (None, "not_opened")


def test_a_file_is_put_with_its_length_and_without_credentials(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"Type,Identity\n" + b"i,somebody\n" * 300_000)
    with served(say(OK)) as (host, requests):
        exchange = put_file(f"{host}/b/k?sig=1", path, content_type="text/csv", allow_loopback=True)
    assert exchange.status == 200
    head, _, body = requests[0].partition(b"\r\n\r\n")
    assert body == path.read_bytes()
    assert f"content-length: {len(body)}".encode() in head.lower()
    for word in (b"authorization", b"passcode", b"transfer-encoding"):
        assert word not in head.lower()


@pytest.mark.parametrize(
    ("url", "allow"),
    [
        ("http://files.test/x?sig=planted", True),
        ("http://127.0.0.1:1/x?sig=planted", False),
        ("https://user:word@files.test/x?sig=planted", True),
        ("file:///etc/passwd?sig=planted", True),
        ("https://", True),
        ("no address", True),
    ],
)
def test_an_address_that_is_not_safe_is_refused_and_not_told(
    tmp_path: Path, url: str, allow: bool
) -> None:
    with pytest.raises(VendorError) as raised:
        put_file(url, tmp_path / "x", content_type="text/csv", allow_loopback=allow)
    assert "planted" not in str(raised.value)
