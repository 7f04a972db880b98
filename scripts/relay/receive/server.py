"""Runs a receiver until a signal ends it; what is in flight is answered first."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from relay.errors import ConfigurationError

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
GRACE_SECONDS = 30


@dataclass(frozen=True)
class Address:
    """Where a receiver listens.

    Attributes:
        host: Address of an interface.
        port: TCP port; 0 for any free one.
        certificate: PEM file of the certificate chain; None: plain http.
        key: PEM file of its private key.
        is_behind_proxy: A proxy before it ends TLS.
    """

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    is_behind_proxy: bool = False

    def check(self) -> None:
        """Refuse to take credentials and personal data over an open line.

        Raises:
            ConfigurationError: Plain http elsewhere than on loopback, and nobody said that a proxy
                ends TLS; only one of certificate and key; or they cannot be used.
        """
        if (self.certificate is None) != (self.key is None):
            raise ConfigurationError("--certificate and --key go together; give both")
        if self.certificate is None:
            if self.host not in LOOPBACK and not self.is_behind_proxy:
                raise ConfigurationError(
                    f"--host {self.host}: plain http is for loopback only; give --certificate and"
                    " --key, or say --behind-proxy where a proxy ends TLS before it"
                )
            return
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"{self.certificate}: not a certificate with the key {self.key}: {error}"
            ) from error


def serve(app: Starlette, address: Address) -> None:
    """Answer requests until SIGINT or SIGTERM.

    Raises:
        ConfigurationError: See `Address.check`; or the address cannot be listened on.
    """
    address.check()
    config = uvicorn.Config(
        app,
        host=address.host,
        port=address.port,
        ssl_certfile=address.certificate,
        ssl_keyfile=address.key,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    try:
        uvicorn.Server(config).run()
    except SystemExit as error:
        raise ConfigurationError(
            f"cannot listen on {address.host}:{address.port}; is the port taken?"
        ) from error
