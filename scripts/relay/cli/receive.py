"""`relay receive`: what vendors push."""

from pathlib import Path

import click

from relay.cli.command import Outcome, relay_command
from relay.receive.credentials import streams_credentials
from relay.receive.server import Address, serve
from relay.receive.streams import DEFAULT_PATH, streams_app
from relay.settings import Settings

PEM_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def register(group: click.Group) -> None:
    """Add the commands to the `relay` group."""

    @group.group("receive")
    def receive() -> None:
        """Receive what vendors push; what was received is loaded by `relay load`."""

    @relay_command(receive, "moengage")
    @click.option("--host", default="127.0.0.1", show_default=True, help="Interface to listen on.")
    @click.option("--port", default=8471, show_default=True, type=click.IntRange(0, 65535))
    @click.option("--path", default=DEFAULT_PATH, show_default=True, help="Where Streams sends to.")
    @click.option("--certificate", type=PEM_FILE, help="PEM file, to speak https.")
    @click.option("--key", type=PEM_FILE, help="PEM file of the certificate's private key.")
    @click.option("--behind-proxy", is_flag=True, help="A proxy before this one ends TLS.")
    def moengage(
        settings: Settings,
        host: str,
        port: int,
        path: str,
        certificate: Path | None,
        key: Path | None,
        behind_proxy: bool,
    ) -> Outcome:
        """Receive MoEngage's Streams until stopped: each body is on disk before it is answered.

        The sender proves itself by MOENGAGE_STREAMS_USER and MOENGAGE_STREAMS_PASSWORD (Basic), or
        by MOENGAGE_STREAMS_HEADER, a fixed header. `relay load moengage-events` loads what came.

        \b
        Example:
            relay receive moengage --host 0.0.0.0 --port 8471 --behind-proxy
        """
        credentials = streams_credentials(settings.env)
        app = streams_app(settings.home, credentials, now=settings.now, path=path)
        click.echo(f"receiving on {host}:{port}{path}; stop with Ctrl-C", err=True)
        serve(app, Address(host, port, certificate, key, behind_proxy))
        return Outcome({"stopped": True}, "stopped; everything received is in landing/")
