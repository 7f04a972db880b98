"""Runs dbt in this process: reads the project once, then carries out commands on it."""

import gc
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from relay import dbt_settings
from relay.errors import BuildError
from relay.plan.project import was_elsewhere
from relay.settings import Settings

# Parsed projects by folder, kept between runs of one process: parsing costs more than building.
_manifests: dict[Path, Any] = {}
_reading = threading.Lock()

_BAD = {"error", "fail", "runtime error", "partial success"}
# Of new objects that are still alive. A build leaves a hundred thousand behind, and looking for
# dead ones among them at every 700, as Python does by itself, is a tenth of its time.
_OBJECTS_BETWEEN_COLLECTIONS = 300_000


def run_dbt(settings: Settings, arguments: Sequence[str], manifest: Any = None) -> int:
    """Run one dbt command.

    Args:
        settings: Their `run` says for which time and purpose.
        arguments: As on dbt's own command line.
        manifest: As much of the project as the command needs; without it, the whole.

    Returns:
        How many nodes were run.

    Raises:
        BuildError: A node failed; the message has dbt's own words on each.
    """
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    manifest = manifest or read_project(settings)
    common = _common(settings, settings.home.root / "target")
    with _environment(settings), _in_silence(), _rare_collections():
        try:
            result = dbtRunner(manifest=manifest).invoke([*arguments, *common])
        finally:
            DuckDBConnectionManager.close_all_connections()
    if result.exception is not None:
        raise BuildError(f"dbt stopped: {result.exception}") from result.exception
    nodes = list(getattr(result.result, "results", []))
    bad = [node for node in nodes if str(node.status) in _BAD]
    if bad or not result.success:
        said = "\n".join(f"  {node.node.unique_id}: {_one_line(node.message)}" for node in bad)
        raise BuildError(f"dbt build failed in {len(bad)} of {len(nodes)} nodes:\n{said}")
    return len(nodes)


def read_project(settings: Settings) -> Any:
    """The whole project as dbt reads it, once in this process.

    Raises:
        BuildError: dbt cannot read it.
    """
    root = settings.project_root
    with _reading:
        if root not in _manifests:
            _manifests[root] = _parsed(settings)
        return _manifests[root]


def read_project_ahead(settings: Settings) -> None:
    """Begin to read the project on a thread: it takes seconds, and loads wait for vendors anyway.

    What is wrong with the project is said by who needs it.
    """

    def read() -> None:
        with suppress(BuildError):
            read_project(settings)

    threading.Thread(target=read, name="relay-project", daemon=True).start()


def _parsed(settings: Settings) -> Any:
    """As an analyst's own `dbt` would read it for the folder itself.

    dbt keeps what it made of a project in `target/`, and goes by it until the project or the path
    of the warehouse changes: read like this, all homes share it.
    """
    kept = settings.project_root / "target"
    if not os.access(kept if kept.exists() else kept.parent, os.W_OK):
        kept = settings.home.root / "target"
    with _kept_objects():
        from dbt.cli.main import dbtRunner

        command = ["parse", "--no-write-json", *_common(settings, kept)]
        with _environment(None), _in_silence():
            parsed = dbtRunner().invoke(command)
            if parsed.success and was_elsewhere(parsed.result, settings.project_root):
                parsed = dbtRunner().invoke([*command, "--no-partial-parse"])
    if not parsed.success:
        raise BuildError(f"dbt could not read the project: {parsed.exception}")
    return parsed.result


@contextmanager
def _kept_objects() -> Iterator[None]:
    """Let the collector alone with what is made here: it lives as long as the process."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Have the collector look seldom while dbt runs, and as before afterwards."""
    before = gc.get_threshold()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def _in_silence() -> Iterator[None]:
    """Do without dbt's messages: each is made twice, and with `--log-level none` nobody sees it."""
    from dbt_common.events import event_manager_client as client
    from dbt_common.events.event_manager import EventManager

    before, silence = client.get_event_manager(), EventManager()
    silence.fire_event = lambda *_, **__: None
    client.ctx_set_event_manager(silence)
    try:
        yield
    finally:
        client.ctx_set_event_manager(before)


def _one_line(message: str | None) -> str:
    return " ".join((message or "no message").split())


def _common(settings: Settings, target: Path) -> list[str]:
    root = str(settings.project_root)
    return [
        *("--project-dir", root, "--profiles-dir", root),
        *("--target-path", str(target)),
        *("--log-path", str(settings.home.root / "logs")),
        *("--log-level", "none", "--log-level-file", "none", "--no-use-colors"),
    ]


@contextmanager
def _environment(settings: Settings | None) -> Iterator[None]:
    """What profiles.yml and the plugin are to see while dbt runs; None: the project itself."""
    before, settings_before = os.environ.pop("RELAY_HOME", None), dbt_settings.current
    if settings is not None:
        os.environ["RELAY_HOME"] = str(settings.home.root)
    dbt_settings.current = settings
    try:
        yield
    finally:
        dbt_settings.current = settings_before
        os.environ.pop("RELAY_HOME", None)
        if before is not None:
            os.environ["RELAY_HOME"] = before
