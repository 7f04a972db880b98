"""Runs dbt in this process: the project, profile and models of an analyst's own `dbt build`."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from relay import dbt_plugin
from relay.errors import BuildError
from relay.settings import Settings

# The parsed project, kept between runs of one process: parsing costs more than building.
_manifests: dict[tuple[str, str], Any] = {}

_BAD = {"error", "fail", "runtime error", "partial success"}


def build(settings: Settings, arguments: Sequence[str] = ()) -> int:
    """`dbt build` without the unit tests (they prove the code, not the data).

    The caller holds the lock and has no connection to the warehouse open.

    Args:
        settings: Their `run` says for which time and purpose is built.
        arguments: More of dbt's own arguments, such as `--select cohorts`.

    Returns:
        How many models, seeds and tests were run.

    Raises:
        BuildError: A model or a data test failed; the message has dbt's own words on each.
    """
    return run_dbt(settings, ["build", "--exclude-resource-type", "unit_test", *arguments])


def rebuild_ledger(settings: Settings) -> None:
    """Bring the ledger and report tables up to what was just sent or decided."""
    run_dbt(settings, ["run", "--select", "path:models/ledger", "path:models/reports"])


def run_dbt(settings: Settings, arguments: Sequence[str]) -> int:
    """Run one dbt command in this process. See `build`."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    key = (str(settings.project_root), str(settings.home.root))
    with _environment(settings):
        runner = dbtRunner(manifest=_manifests.get(key))
        if key not in _manifests:
            parsed = runner.invoke(["parse", *_common(settings)])
            if not parsed.success:
                raise BuildError(f"dbt could not read the project: {parsed.exception}")
            _manifests[key] = parsed.result
            runner = dbtRunner(manifest=_manifests[key])
        try:
            result = runner.invoke([*arguments, *_common(settings)])
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


def _one_line(message: str | None) -> str:
    return " ".join((message or "no message").split())


def _common(settings: Settings) -> list[str]:
    root = str(settings.project_root)
    return [
        *("--project-dir", root, "--profiles-dir", root),
        *("--target-path", str(settings.home.root / "target")),
        *("--log-path", str(settings.home.root / "logs")),
        *("--log-level", "none", "--log-level-file", "info", "--no-use-colors"),
    ]


@contextmanager
def _environment(settings: Settings) -> Iterator[None]:
    """What profiles.yml and the plugin are to see while dbt runs."""
    before = os.environ.get("RELAY_HOME")
    os.environ["RELAY_HOME"] = str(settings.home.root)
    dbt_plugin.current = settings
    try:
        yield
    finally:
        dbt_plugin.current = None
        if before is None:
            del os.environ["RELAY_HOME"]
        else:
            os.environ["RELAY_HOME"] = before
