"""The `relay` group and the commands that belong to no other one."""

import click

from relay import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="relay")
def relay() -> None:
    """Carry Amplitude cohorts and events to their destinations, and engagement events back."""


def main() -> None:
    """Entry point of the `relay` command."""
    relay(prog_name="relay")


if __name__ == "__main__":
    main()
