"""Runs dbt in this process: the project, profile and models of an analyst's own `dbt build`."""

import gc
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb

from relay import dbt_plugin
from relay.errors import BuildError
from relay.settings import Settings

# The parsed project, kept between runs of one process: parsing costs more than building.
_manifests: dict[tuple[str, str], Any] = {}

_WHAT_DATA_CHANGES = (
    "config.materialized:table",
    "config.materialized:incremental",
    "tag:each_build",
)
_BAD = {"error", "fail", "runtime error", "partial success"}


def build(settings: Settings, arguments: Sequence[str] = ()) -> int:
    """`dbt build` without the unit tests (they prove the code, not the data).

    Where the warehouse was built whole by just this project before, its seeds and views are what
    they would be again: only tables, their tests and what is tagged `each_build` are run.

    The caller holds the lock and has no connection to the warehouse open.

    Args:
        settings: Their `run` says for which time and purpose is built.
        arguments: More of dbt's own arguments, such as `--select cohorts`.

    Returns:
        How many models, seeds and tests were run.

    Raises:
        BuildError: A model or a data test failed; the message has dbt's own words on each.
    """
    whole = ["build", "--exclude-resource-type", "unit_test", "--no-write-json"]
    if arguments:
        return run_dbt(settings, [*whole, *arguments])
    fingerprint = _fingerprint(_manifest(settings))
    if _built_project(settings) == fingerprint:
        return run_dbt(settings, [*whole, "--select", *_WHAT_DATA_CHANGES])
    _note_built_project(settings, None)
    nodes = run_dbt(settings, whole)
    _note_built_project(settings, fingerprint)
    return nodes


def rebuild_ledger(settings: Settings) -> None:
    """Bring the ledger's tables up to what was just sent or decided; views follow by themselves."""
    tables = [f"path:models/ledger,{kind}" for kind in _WHAT_DATA_CHANGES[:2]]
    run_dbt(settings, ["run", "--no-write-json", "--select", *tables])


def run_dbt(settings: Settings, arguments: Sequence[str]) -> int:
    """Run one dbt command in this process. See `build`."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    with _environment(settings), _without_collector():
        runner = dbtRunner(manifest=_manifest(settings))
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


def _manifest(settings: Settings) -> Any:
    """The project, parsed once in this process for each home."""
    from dbt.cli.main import dbtRunner

    key = (str(settings.project_root), str(settings.home.root))
    if key not in _manifests:
        with _environment(settings):
            parsed = dbtRunner().invoke(["parse", *_common(settings)])
        if not parsed.success:
            raise BuildError(f"dbt could not read the project: {parsed.exception}")
        _manifests[key] = parsed.result
    return _manifests[key]


def _fingerprint(manifest: Any) -> str:
    """A hash over everything the project consists of: models, seeds, tests and macros."""
    parts = [f"{node_id}:{node.checksum.checksum}" for node_id, node in manifest.nodes.items()]
    parts += [f"{node_id}:{node.config.to_dict()}" for node_id, node in manifest.nodes.items()]
    parts += [f"{macro_id}:{macro.macro_sql}" for macro_id, macro in manifest.macros.items()]
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()


def _built_project(settings: Settings) -> str | None:
    """The fingerprint of the project that last built the whole warehouse."""
    if not settings.home.database.exists():
        return None
    with duckdb.connect(str(settings.home.database)) as connection:
        try:
            row = connection.execute("select fingerprint from raw.built_project").fetchone()
        except duckdb.CatalogException:
            return None
    return None if row is None else str(row[0])


def _note_built_project(settings: Settings, fingerprint: str | None) -> None:
    """Remember it, or with None that a build has begun whose end is not known."""
    settings.home.warehouse.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(settings.home.database)) as connection:
        connection.execute("create schema if not exists raw")
        connection.execute(
            "create or replace table raw.built_project as select cast(? as varchar) as fingerprint",
            [fingerprint],
        )


@contextmanager
def _without_collector() -> Iterator[None]:
    """Leave dbt's objects alone: looking through all of them is a tenth of a build."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _one_line(message: str | None) -> str:
    return " ".join((message or "no message").split())


def _common(settings: Settings) -> list[str]:
    root = str(settings.project_root)
    return [
        *("--project-dir", root, "--profiles-dir", root),
        *("--target-path", str(settings.home.root / "target")),
        *("--log-path", str(settings.home.root / "logs")),
        *("--log-level", "none", "--log-level-file", "none", "--no-use-colors"),
    ]


@contextmanager
def _environment(settings: Settings) -> Iterator[None]:
    """What profiles.yml and the plugin are to see while dbt runs."""
    before, settings_before = os.environ.get("RELAY_HOME"), dbt_plugin.current
    os.environ["RELAY_HOME"] = str(settings.home.root)
    dbt_plugin.current = settings
    try:
        yield
    finally:
        dbt_plugin.current = settings_before
        if before is None:
            del os.environ["RELAY_HOME"]
        else:
            os.environ["RELAY_HOME"] = before
