"""`relay emulate`: the vendors on loopback, for a terminal of its own."""

import csv
import io
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

import click

from relay.cli.command import fail
from relay.cli.signals import stopping_on_signals
from relay.emulate.clevertap.switches import ClevertapSwitches
from relay.emulate.clock import Clock
from relay.emulate.house import ORIGINS, Emulators
from relay.emulate.serve import environment_lines, order_fault, serve
from relay.errors import ConfigurationError, RelayError
from relay.rehearsal.stage import stage_amplitude
from relay.rehearsal.world import World

STOPPED_BY_SIGNAL = 130
DAYS = 3
PORTS = (*ORIGINS.values(), "files")


def register(group: click.Group) -> None:
    """Add the command to the `relay` group."""

    @group.command("emulate")
    @click.option(
        "--day",
        type=click.IntRange(0, DAYS),
        default=1,
        show_default=True,
        help="Day of the made-up shop to begin with; 0 for vendors that hold nothing.",
    )
    @click.option(
        "--port",
        "ports",
        multiple=True,
        metavar="ORIGIN=PORT",
        help=f"A port of your choice; ORIGIN is one of {', '.join(PORTS)}.",
    )
    @click.option(
        "--fault",
        "faults",
        multiple=True,
        metavar="VENDOR:KIND[,NAME=VALUE]…",
        help="Let something go wrong, e.g. clevertap:status,status=503,nth=3.",
    )
    @click.option(
        "--partner-sync",
        type=click.Choice(["accept", "restricted"]),
        default="accept",
        show_default=True,
        help="What CleverTap does with Partner Sync events; which is UNVERIFIED.",
    )
    @click.option("--json", "as_json", is_flag=True, help="One JSON document: the environment.")
    def emulate(
        day: int, ports: tuple[str, ...], faults: tuple[str, ...], partner_sync: str, as_json: bool
    ) -> None:
        """Serve the four vendors' emulators on loopback until stopped.

        Prints the environment that points Cohort Relay to them; run that in another terminal. What
        they hold is at /_state of each address; faults and time at /_faults and /_clock.

        \b
        Example:
            relay emulate --fault clevertap:reset,route=upload,stored=true
        """
        try:
            emulators = _made(day, ports, restricted=partner_sync == "restricted")
            for fault in faults:
                order_fault(emulators, fault)
        except RelayError as error:
            fail(error, as_json=as_json)

        def announce(environ: Mapping[str, str]) -> None:
            named = {**environ, "RELAY_NOW": emulators.clock.now().isoformat()} if day else environ
            if as_json:
                click.echo(json.dumps({"environment": dict(named)}, indent=2))
            else:
                click.echo("\n".join(environment_lines(named)))
                click.echo("Serving; stop with Ctrl-C.", err=True)

        with stopping_on_signals() as stop:
            serve(emulators, announce=announce, stop=stop)
        sys.exit(STOPPED_BY_SIGNAL)


def _made(day: int, ports: tuple[str, ...], *, restricted: bool) -> Emulators:
    """The emulators, holding the made-up shop at a day; their calendar stands at it."""
    world = World() if day else None
    clock = Clock(world.at(day).now, frozen=True) if world else Clock(datetime.now(UTC))
    wanted = _read_ports(ports)
    try:
        emulators = Emulators(
            clock=clock,
            ports=wanted,
            clevertap=ClevertapSwitches(partner_sync_restricted=restricted),
        )
    except OSError as error:
        taken = ", ".join(f"{origin}={port}" for origin, port in wanted.items())
        raise ConfigurationError(f"--port {taken}: {error}; choose other ports") from error
    if world is not None:
        moment = world.at(day)
        stage_amplitude(emulators.amplitude, moment)
        directory = io.StringIO(moment.known_users("moengage").decode())
        emulators.moengage.add_users(dict(row) for row in csv.DictReader(directory))
    return emulators


def _read_ports(texts: tuple[str, ...]) -> dict[str, int]:
    ports = {}
    for text in texts:
        origin, _, port = text.partition("=")
        if origin not in PORTS or not port.isdigit() or not 0 < int(port) < 1 << 16:
            raise ConfigurationError(
                f"--port {text}: expected ORIGIN=PORT with one of {', '.join(PORTS)}"
            )
        ports[origin] = int(port)
    return ports
