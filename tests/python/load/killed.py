"""Loads in processes of their own, that can be killed at the moments `relay.faultpoints` names.

They are forked by a server that has everything imported and no threads, so that one takes a tenth
of a second.
"""

import functools
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from load.made import at, open_warehouse, settings_at
from relay.load.amplitude_cohorts import load_cohort_file, load_cohorts
from relay.load.amplitude_events import load_event_files, load_events
from relay.load.amplitude_merges import load_merge_files
from relay.load.known_users import load_known_users

_SERVER = multiprocessing.get_context("forkserver")


@functools.cache
def _start_server() -> None:
    _SERVER.set_forkserver_preload(["load.killed"])
    before = os.environ.get("PYTHONPATH")
    # Python 3.11 starts the server without our path, and passes over what it cannot import.
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def run(
    kind: str,
    home: Path,
    environ: Mapping[str, str],
    config: str,
    moment: Any,
    *,
    fault_at: str | None = None,
    log: Path | None = None,
) -> bool:
    """Run a load; whether it was killed.

    Args:
        kind: `events`, `cohorts`, or of the home's `exports/`: `files`, `merges`, `cohort` (a
            cohort's `c.csv`) or `users` (`u.csv`).
        home: RELAY_HOME.
        environ: The emulators' variables.
        config: The text of syncs.yml.
        moment: The clock.
        fault_at: Where to be killed, as RELAY_FAULT_AT has it.
        log: Where to note each moment.
    """
    _start_server()
    process = _SERVER.Process(
        target=_load, args=(kind, home, dict(environ), config, moment, fault_at, log)
    )
    process.start()
    process.join(60)
    if process.exitcode not in {0, -signal.SIGKILL}:
        raise AssertionError(f"the load ended with {process.exitcode}")
    return process.exitcode != 0


def _load(
    kind: str,
    home: Path,
    environ: dict[str, str],
    config: str,
    moment: Any,
    fault_at: str | None,
    log: Path | None,
) -> None:
    if fault_at is not None:
        os.environ["RELAY_FAULT_AT"] = fault_at
    if log is not None:
        os.environ["RELAY_FAULT_LOG"] = str(log)
    settings = at(settings_at(home, environ, config), moment)
    connection = open_warehouse(settings)
    if kind == "events":
        load_events(connection, settings)
    elif kind == "files":
        load_event_files(connection, settings, [home / "exports"])
    elif kind == "merges":
        load_merge_files(connection, settings, [home / "exports"])
    elif kind == "users":
        load_known_users(connection, settings, "moengage", home / "exports" / "u.csv")
    elif kind == "cohort":
        load_cohort_file(
            connection,
            settings,
            home / "exports" / "c.csv",
            cohort_id="c1",
            cohort_name="Cart",
            computed_at=moment,
        )
    else:
        load_cohorts(connection, settings)
    connection.close()
