"""The `relay` group: every command, one module a subject."""

import click

from relay import __version__, logs
from relay.cli import (
    apply,
    decide,
    emulate,
    explain,
    exports,
    identify,
    load,
    look,
    plan,
    receive,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="relay")
@click.option(
    "--log",
    "log_level",
    type=click.Choice(logs.LEVELS),
    default="warning",
    envvar="RELAY_LOG",
    show_envvar=True,
    help="Least level of log lines: JSON on standard error, no personal data.",
)
def relay(log_level: str) -> None:
    """Carry Amplitude cohorts and events to their destinations, and engagement events back."""
    logs.configure(log_level)


for subject in (load, plan, apply, decide, look, explain, exports, identify, receive, emulate):
    subject.register(relay)


def main() -> None:
    """Entry point of the `relay` command."""
    relay(prog_name="relay")


if __name__ == "__main__":
    main()
