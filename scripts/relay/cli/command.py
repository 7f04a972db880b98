"""What every command shares: settings, `--json`, one line of result, exit codes.

With `--json` a command writes one JSON document to standard output and nothing else there; without
it, what a person wants to read and one closing line. A RelayError goes to standard error (and, with
`--json`, as `{"error": …}` to standard output) and ends the command with its exit code.
"""

import functools
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import click

from relay.errors import RelayError
from relay.settings import load_settings


@dataclass(frozen=True)
class Outcome:
    """What a command ends with.

    Attributes:
        document: The JSON document of `--json` (DESIGN §2.4).
        line: The one closing line for a person.
        text: What a person reads before that line, such as a table; empty for nothing.
        exit_code: 0 all done; 1 failed in part; 3 something is held; 4 rejected or unknown rows.
    """

    document: dict[str, Any]
    line: str
    text: str = ""
    exit_code: int = field(default=0)


def relay_command(
    group: click.Group, name: str, **attributes: Any
) -> Callable[[Callable[..., Outcome]], click.Command]:
    """Register a function as `relay … name`; it is called with the Settings and its options.

    Args:
        group: The click group it belongs to.
        name: The word that calls it.
        attributes: More of what `click.Group.command` takes, such as `hidden`.
    """

    def register(function: Callable[..., Outcome]) -> click.Command:
        @functools.wraps(function)
        def run(*args: Any, as_json: bool, **options: Any) -> None:
            try:
                outcome = function(load_settings(), *args, **options)
            except RelayError as error:
                fail(error, as_json=as_json)
            else:
                finish(outcome, as_json=as_json)

        with_json = click.option("--json", "as_json", is_flag=True, help="One JSON document.")(run)
        return group.command(name, **attributes)(with_json)

    return register


def finish(outcome: Outcome, *, as_json: bool) -> None:
    """Print the outcome and leave with its exit code."""
    if as_json:
        click.echo(json.dumps(outcome.document, indent=2, ensure_ascii=False, default=str))
    else:
        if outcome.text:
            click.echo(outcome.text.rstrip("\n"))
        click.echo(outcome.line)
    sys.exit(outcome.exit_code)


def fail(error: RelayError, *, as_json: bool) -> None:
    """Print the error and leave with its exit code."""
    if as_json:
        document = {"error": {"type": type(error).__name__, "message": str(error)}}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    click.echo(f"error: {error}", err=True)
    sys.exit(error.exit_code)
