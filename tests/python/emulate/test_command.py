import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from click.testing import CliRunner, Result

from relay.cli import emulate
from relay.emulate import Emulators
from relay.emulate.serve import environment_lines, order_fault
from relay.errors import ConfigurationError

SCRIPTS = Path(__file__).parents[3] / "scripts"
# The command without the rest of `relay`, whose imports take seconds.
PROGRAM = """
import click
from relay.cli import emulate
group = click.Group()
emulate.register(group)
group()
"""


def invoked(*arguments: str) -> Result:
    group = click.Group()
    emulate.register(group)
    return CliRunner().invoke(group, ["emulate", *arguments])


@contextmanager
def running(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "emulate", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(SCRIPTS)},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def document(process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line == "}\n":
            break
    read: dict[str, Any] = json.loads(text)
    return read


def test_the_command_serves_the_shop_until_a_signal(client: httpx.Client) -> None:
    with running("--json", "--fault", "clevertap:status,status=503,times=all") as process:
        environ = document(process)["environment"]
        assert environ["RELAY_NOW"].startswith("2026-06-18")
        state = client.get(environ["AMPLITUDE_API_URL"] + "/_state?only=cohorts,projects").json()
        assert {"1638361188"} <= {cohort["id"] for cohort in state["cohorts"]}
        assert state["projects"]
        users = client.get(environ["MOENGAGE_API_URL"] + "/_state?only=users").json()["users"]
        assert users
        upload = client.post(environ["CLEVERTAP_API_URL"] + "/1/upload")
        assert upload.status_code == 503
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 130
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--port", "clevertap=x"), "expected ORIGIN=PORT"),
        (("--fault", "clever:reset"), "expected VENDOR:KIND"),
        (("--fault", "clevertap:reset,nth=first"), "invalid literal"),
    ],
)
def test_wrong_options_are_exit_2(arguments: tuple[str, ...], message: str) -> None:
    result = invoked("--day", "0", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_taken_port_is_exit_2() -> None:
    with Emulators() as first:
        port = first.urls["lytics"].rpartition(":")[2]
        result = invoked("--day", "0", "--port", f"lytics={port}")
    assert result.exit_code == 2
    assert "choose other ports" in result.stderr


def test_faults_in_one_word_and_lines_for_a_shell() -> None:
    emulators = Emulators()
    fault = order_fault(emulators, "lytics:partial,route=json,positions=0+2,nth=2")
    assert (fault.positions, fault.nth, fault.times) == ((0, 2), 2, 1)
    fault = order_fault(emulators, "amplitude:slow,seconds=0.5,times=all,stored=true")
    assert (fault.seconds, fault.times, fault.stored) == (0.5, None, True)
    with pytest.raises(ConfigurationError, match="no route 'nope'"):
        order_fault(emulators, "moengage:reset,route=nope")
    assert environment_lines({"B": "x y", "A": "1"}) == ["export A=1", "export B='x y'"]
    emulators.stop()
