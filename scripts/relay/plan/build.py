"""Runs dbt in this process: the project, profile and models of an analyst's own `dbt build`."""

import gc
import hashlib
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection

from relay import dbt_settings, warehouse
from relay.errors import BuildError
from relay.plan.payloads import PAYLOADS
from relay.settings import Settings

_INPUTS = resources.files("relay.plan").joinpath("inputs.sql").read_text(encoding="utf-8")
# Beside the inputs, in `raw.built`: the project that they were built by.
_PROJECT = "the project"

# The parsed project, kept between runs of one process: parsing costs more than building.
_manifests: dict[tuple[str, str], Any] = {}

_BUILD = ("build", "--exclude-resource-type", "unit_test", "--no-write-json")
_DUE = "due"
# Tests that come with a model are not run with it.
_WITHOUT_ITS_TESTS = ("--indirect-selection", "empty")
_PURPOSES = {"amplitude", "clevertap", "identify", "lytics", "moengage"}
_BAD = {"error", "fail", "runtime error", "partial success"}


def build(settings: Settings, arguments: Sequence[str] = (), *, whole: bool = False) -> int:
    """`dbt build` without the unit tests (they prove the code, not the data).

    Where the warehouse was built by just this project before, only what hangs on inputs that have
    changed since is run, nothing where none has. Of the tests those in `tests/dbt/` are run with
    it, promises about the data as a whole; `whole` runs those of single columns too.

    The caller holds the lock and has no connection to the warehouse open.

    Args:
        settings: Their `run` says for which time and purpose is built.
        arguments: More of dbt's own arguments, such as `--select cohorts`.
        whole: Run everything and every data test, changed or not.

    Returns:
        How many models, seeds and tests were run.

    Raises:
        BuildError: A model or a data test failed; the message has dbt's own words on each.
    """
    if arguments:
        return run_dbt(settings, [*_BUILD, *arguments])
    project = _fingerprint(_manifest(settings))
    inputs, built, used = _look(settings)
    if whole or built.get(_PROJECT) != project:
        _note_built(settings, {})
        try:
            nodes = run_dbt(
                settings, [*_BUILD, *(() if whole else ("--exclude", "test_type:generic"))]
            )
        except BuildError as error:
            if built.get(_PROJECT) == project:
                raise
            raise BuildError(
                f"{error}\nwhere another version of the project built this warehouse and a table"
                " lacks a column, `relay build --full-refresh` makes all tables anew"
            ) from error
    else:
        changed = sorted(name for name, state in inputs.items() if built.get(name) != state)
        if not changed:
            return 0
        # Should this build not come to its end, they count as changed, even if they change back.
        _note_built(settings, {name: built[name] for name in built.keys() - set(changed)})
        # Who is added or taken out changes what every destination's tables hold.
        unused = set() if {"syncs", "identities"} & set(changed) else _PURPOSES - used
        with _tagged(_to_run(_manifest(settings), changed, unused)):
            nodes = run_dbt(settings, [*_BUILD, *_WITHOUT_ITS_TESTS, "--select", f"tag:{_DUE}"])
    # Looked at once more: what waits to be sent is another thing now.
    inputs, *_ = _look(settings)
    _note_built(settings, {_PROJECT: project, **inputs})
    return nodes


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
        command = ["parse", "--no-write-json", *_common(settings)]
        with _environment(settings), _without_collector():
            parsed = dbtRunner().invoke(command)
            if parsed.success and _was_elsewhere(parsed.result, settings):
                parsed = dbtRunner().invoke([*command, "--no-partial-parse"])
        if not parsed.success:
            raise BuildError(f"dbt could not read the project: {parsed.exception}")
        _manifests[key] = parsed.result
    return _manifests[key]


def _was_elsewhere(manifest: Any, settings: Settings) -> bool:
    """Whether dbt goes by what it read of this project in another folder: seeds are not found."""
    seeds = (node for node in manifest.nodes.values() if node.resource_type == "seed")
    return any(seed.root_path != str(settings.project_root) for seed in seeds)


def _to_run(manifest: Any, inputs: Collection[str], unused: Collection[str]) -> list[Any]:
    """The models that hold data of the inputs, and the tests of the data as a whole.

    Views follow by themselves, except those whose text itself depends on data (`each_build`).
    Tables of a purpose that nothing is for (`unused`) are empty and stay so.
    """
    from dbt.contracts.graph.nodes import SingularTestNode

    pending = [f"source.cohort_relay.raw.{name}" for name in inputs]
    reached: set[str] = set()
    while pending:
        children = set(manifest.child_map.get(pending.pop(), ())) - reached
        reached |= children
        pending += children
    return [
        node
        for name in reached
        if (node := manifest.nodes.get(name)) is not None
        and (isinstance(node, SingularTestNode) or _holds_data(node, unused))
    ]


def _holds_data(node: Any, unused: Collection[str]) -> bool:
    if node.resource_type != "model" or _purpose_of(node.name) in unused:
        return False
    return node.config.materialized in {"table", "incremental"} or "each_build" in node.tags


def _purpose_of(model: str) -> str:
    """The destination a model is for, by its name; Amplitude has the room `events` for exports."""
    room, _, name = model.partition("__")
    if name == "amplitude_identities":
        return "identify"
    return "amplitude" if room == "events" else name.partition("_")[0]


@contextmanager
def _tagged(nodes: Collection[Any]) -> Iterator[None]:
    """Have dbt find the nodes by one tag: of every name it is told, it looks at every node."""
    for node in nodes:
        node.tags.append(_DUE)
    try:
        yield
    finally:
        for node in nodes:
            node.tags.remove(_DUE)


def _fingerprint(manifest: Any) -> str:
    """A hash over everything the project consists of: models, seeds, tests and macros."""
    parts = [f"{node_id}:{node.checksum.checksum}" for node_id, node in manifest.nodes.items()]
    parts += [f"{node_id}:{node.config.to_dict()}" for node_id, node in manifest.nodes.items()]
    parts += [f"{macro_id}:{macro.macro_sql}" for macro_id, macro in manifest.macros.items()]
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()


def _look(settings: Settings) -> tuple[dict[str, str], dict[str, str], set[str]]:
    """What the raw tables hold, as far as dbt reads them; what was noted of the last build.

    Both are texts by name: an input that has changed has another one. Third, what anything is for.
    """
    with warehouse.connect(settings) as connection:
        inputs: dict[str, str] = dict(connection.execute(_INPUTS).fetchall())
        if _something_waits(connection):
            # It is to carry the time of this run.
            inputs["run"] += f" {settings.now().isoformat()}"
        built = dict(connection.execute("select name, state from raw.built").fetchall())
        used = connection.execute(
            "select destination from raw.syncs union select 'amplitude' from raw.identities"
        ).fetchall()
    return inputs, built, {str(destination) for (destination,) in used}


def _something_waits(connection: DuckDBPyConnection) -> bool:
    try:
        waiting = " union all ".join(f"(select 1 from {name} limit 1)" for name in PAYLOADS)
        return bool(connection.execute(waiting).fetchall())
    except duckdb.CatalogException:
        return False


def _note_built(settings: Settings, built: dict[str, str]) -> None:
    """Remember project and inputs of a build; nothing: one has begun whose end is not known."""
    with warehouse.connect(settings) as connection, warehouse.transaction(connection):
        connection.execute("delete from raw.built")
        for name, state in built.items():
            connection.execute("insert into raw.built values (?, ?)", [name, state])


@contextmanager
def _without_collector() -> Iterator[None]:
    """Leave dbt's objects alone: looking through all of them is a tenth of a build."""
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
    before, settings_before = os.environ.get("RELAY_HOME"), dbt_settings.current
    os.environ["RELAY_HOME"] = str(settings.home.root)
    dbt_settings.current = settings
    try:
        yield
    finally:
        dbt_settings.current = settings_before
        if before is None:
            del os.environ["RELAY_HOME"]
        else:
            os.environ["RELAY_HOME"] = before
