"""A process that has read the program once and forks for each run: a run can then be killed.

`Forks.run` applies a plan in a fork, to be killed at a named point, and tells how it ended. The
process has no threads of its own, so that forking is safe.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Forks:
    """The process, started."""

    def __init__(self) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "apply.forks"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def run(
        self,
        home: Path,
        plan_id: str,
        environ: dict[str, str],
        *,
        fault_at: str = "",
        fault_log: Path | None = None,
        stop_after: float = 0.0,
        stop_by: signal.Signals = signal.SIGKILL,
    ) -> int:
        """Apply a plan.

        Args:
            home: RELAY_HOME.
            plan_id: The plan.
            environ: Credentials and addresses.
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
            "home": str(home),
            "plan_id": plan_id,
            "environ": environ,
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


def _apply(order: dict[str, Any]) -> int:
    os.environ.update(order["points"])
    settings = load_settings(Path(order["home"]), environ=order["environ"])
    plan = read_plan(settings.home, order["plan_id"])
    with stopping_on_signals() as stop:
        return apply_plan(settings, plan, stop=stop).exit_code


def _serve() -> None:
    for text in sys.stdin:
        order = json.loads(text)
        child = os.fork()
        if child == 0:
            code = 99
            try:
                code = _apply(order)
            finally:
                os._exit(code)
        if order["stop_after"]:
            time.sleep(order["stop_after"])
            os.kill(child, order["stop_by"])
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    import time

    import duckdb  # noqa: F401 - read once, for every fork

    from relay.apply.run import apply_plan
    from relay.cli.signals import stopping_on_signals
    from relay.plan.manifest import read_plan
    from relay.settings import load_settings

    _serve()
