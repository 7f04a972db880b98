"""A process that has read the program once and forks for each run: a run can then be killed.

It has no thread of its own, so that forking is safe, and forking costs nothing of what importing
does. `Forks.apply` sends a sealed plan; `Forks.relay` runs any command of `relay`.
"""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Forks:
    """The process, started.

    Args:
        parsed_home: RELAY_HOME for which the dbt project is to be parsed before any fork; None
            where no command builds.
    """

    def __init__(self, parsed_home: Path | None = None) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        arguments = [] if parsed_home is None else [str(parsed_home)]
        self._process = subprocess.Popen(
            [sys.executable, __file__, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def apply(self, home: Path, plan_id: str, environ: dict[str, str], **how: Any) -> int:
        """Apply a plan; see `_run` for how it may end."""
        return self._run({"home": str(home), "plan_id": plan_id, "environ": environ}, **how)

    def relay(
        self,
        home: Path,
        arguments: Sequence[str],
        environ: dict[str, str],
        *,
        output: Path,
        **how: Any,
    ) -> int:
        """Run `relay` with these arguments, what it prints going to `output`; see `_run`."""
        order = {"home": str(home), "arguments": list(arguments), "environ": environ}
        return self._run({**order, "output": str(output)}, **how)

    def _run(
        self,
        order: dict[str, Any],
        *,
        fault_at: str = "",
        fault_log: Path | None = None,
        stop_after: float = 0.0,
        stop_by: signal.Signals = signal.SIGKILL,
    ) -> int:
        """Run something in a fork.

        Args:
            order: What.
            fault_at: `name:n`, to be killed at the n-th arrival at this point.
            fault_log: File that gets the name of each point.
            stop_after: Seconds after which it is sent a signal, wherever it is; 0: never.
            stop_by: That signal.

        Returns:
            The exit code; the negative number of the signal it was killed by.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        points = {"RELAY_FAULT_AT": fault_at, "RELAY_FAULT_LOG": str(fault_log or "")}
        order = {
            **order,
            "points": {name: value for name, value in points.items() if value},
            "stop_after": stop_after,
            "stop_by": int(stop_by),
        }
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def _carry_out(order: dict[str, Any]) -> int:
    """What a fork does; gives its exit code."""
    from relay.apply.run import apply_plan
    from relay.cli.signals import stopping_on_signals
    from relay.plan.manifest import read_plan
    from relay.settings import load_settings

    os.environ.update(order["points"])
    if "arguments" in order:
        return _command(order)
    settings = load_settings(Path(order["home"]), environ=order["environ"])
    plan = read_plan(settings.home, order["plan_id"])
    with stopping_on_signals() as stop:
        return apply_plan(settings, plan, stop=stop).exit_code


def _command(order: dict[str, Any]) -> int:
    from relay.cli.main import relay

    os.environ.update(order["environ"])
    os.environ["RELAY_HOME"] = order["home"]
    with Path(order["output"]).open("w", encoding="utf-8") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        try:
            relay(args=order["arguments"], prog_name="relay")
        except SystemExit as ended:
            sys.stdout.flush()
            return int(ended.code or 0)
    return 0


def _read_the_program(parsed_home: str | None) -> None:
    """Import once, for every fork, and parse the project where commands build."""
    import duckdb  # noqa: F401

    import relay.apply.run
    import relay.cli.signals

    if parsed_home is not None:
        import relay.cli.main  # noqa: F401
        from relay.plan.dbt import run_dbt
        from relay.settings import load_settings

        run_dbt(load_settings(Path(parsed_home), environ={}), ["parse"])


def _serve() -> None:
    _read_the_program(sys.argv[1] if len(sys.argv) > 1 else None)
    for text in sys.stdin:
        order = json.loads(text)
        child = os.fork()
        if child == 0:
            code = 99
            try:
                code = _carry_out(order)
            except Exception:
                traceback.print_exc()
            finally:
                os._exit(code)
        if order["stop_after"]:
            time.sleep(order["stop_after"])
            os.kill(child, order["stop_by"])
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    _serve()
