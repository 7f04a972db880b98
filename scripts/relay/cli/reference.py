"""Writes docs/cli.md: the help of every command, as the program prints it.

`python -m relay.cli.reference docs/cli.md` writes; with `--check` it fails when the file is behind.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from relay.cli.main import relay

_HEAD = """# The relay command

Written by `make docs` from each command's own help. Every command takes `--json`. Exit codes: 0 all
done; 1 failed; 2 the call or the configuration is wrong; 3 something is held for approval; 4 done,
but some rows were rejected or are of unknown outcome; 130 stopped by a signal.
"""


def reference() -> str:
    """The whole page."""
    return _HEAD + "".join(_sections(relay, "relay"))


def _sections(group: click.Group, path: str) -> Iterator[str]:
    context = click.Context(group, info_name=path)
    for name in sorted(group.list_commands(context)):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        full = f"{path} {name}"
        if isinstance(command, click.Group):
            yield from _sections(command, full)
            continue
        usage = click.Context(command, info_name=full, max_content_width=100, terminal_width=100)
        yield f"\n## {full}\n\n```\n{command.get_help(usage)}\n```\n"


def main(arguments: list[str]) -> int:
    """Write the page, or compare it with what it should be."""
    checks = "--check" in arguments
    (path,) = (Path(argument) for argument in arguments if argument != "--check")
    text = reference()
    if not checks:
        path.write_text(text, encoding="utf-8")
        return 0
    if path.read_text(encoding="utf-8") == text:
        return 0
    click.echo(f"{path} is behind the commands; run `make docs`", err=True)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
