"""Builds the warehouse: the project, profile and models of an analyst's own `dbt build`."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection

from relay import warehouse
from relay.errors import BuildError
from relay.plan.dbt import read_project, run_dbt
from relay.plan.payloads import PAYLOADS
from relay.plan.project import fed_by, fingerprint, part_of, whole_of
from relay.settings import Settings

_INPUTS = resources.files("relay.plan").joinpath("inputs.sql").read_text(encoding="utf-8")
# Beside the inputs, in `raw.built`: the project that they were built by.
_PROJECT = "the project"

_BUILD = (
    "build",
    "--exclude-resource-type",
    "unit_test",
    "--no-write-json",
    "--cache-selected-only",
)
_DUE = "due"
# Tests that come with a model are not run with it.
_DUE_ONLY = ("--indirect-selection", "empty", "--select", f"tag:{_DUE}")
_PURPOSES = {"amplitude", "clevertap", "identify", "lytics", "moengage"}


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
    manifest = read_project(settings)
    project = fingerprint(manifest)
    with warehouse.connect(settings) as connection:
        inputs, built = _look(connection, settings)
        changed = sorted(name for name, state in inputs.items() if built.get(name) != state)
        is_known = built.get(_PROJECT) == project
        if is_known and not whole and not changed:
            return 0
        runs_all = whole or not is_known
        # Should this build not come to its end, they count as changed, even if they change back.
        kept = set() if runs_all else built.keys() - set(changed)
        _note_built(connection, {name: built[name] for name in kept})
        unused = _unused(connection, changed)
    if runs_all:
        part = manifest if whole else part_of(manifest, whole_of(manifest))
        try:
            nodes = run_dbt(settings, _BUILD, part)
        except BuildError as error:
            if is_known:
                raise
            raise BuildError(
                f"{error}\nwhere another version of the project built this warehouse and a table"
                " lacks a column, `relay build --full-refresh` makes all tables anew"
            ) from error
    else:
        fed = fed_by(manifest, changed, unused)
        with _tagged(fed):
            nodes = run_dbt(settings, [*_BUILD, *_DUE_ONLY], part_of(manifest, fed))
    with warehouse.connect(settings) as connection:
        # Looked at once more: what waits to be sent is another thing now.
        inputs, _ = _look(connection, settings)
        _note_built(connection, {_PROJECT: project, **inputs})
    return nodes


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


def _look(
    connection: DuckDBPyConnection, settings: Settings
) -> tuple[dict[str, str], dict[str, str]]:
    """What the raw tables hold, as far as dbt reads them; what was noted of the last build.

    Both are texts by name: an input that has changed has another one.
    """
    inputs: dict[str, str] = dict(connection.execute(_INPUTS).fetchall())
    if _something_waits(connection):
        # It is to carry the time of this run.
        inputs["run"] += f" {settings.now().isoformat()}"
    built = dict(connection.execute("select name, state from raw.built").fetchall())
    return inputs, built


def _unused(connection: DuckDBPyConnection, changed: Collection[str]) -> set[str]:
    """The purposes that nothing is for, if that is as it was at the last build."""
    # Who is added or taken out changes what every destination's tables hold.
    if {"syncs", "identities"} & set(changed):
        return set()
    used = connection.execute(
        "select destination from raw.syncs union select 'amplitude' from raw.identities"
    ).fetchall()
    return _PURPOSES - {str(destination) for (destination,) in used}


def _something_waits(connection: DuckDBPyConnection) -> bool:
    try:
        waiting = " union all ".join(f"(select 1 from {name} limit 1)" for name in PAYLOADS)
        return bool(connection.execute(waiting).fetchall())
    except duckdb.CatalogException:
        return False


def _note_built(connection: DuckDBPyConnection, built: Mapping[str, str]) -> None:
    """Remember project and inputs of a build; nothing: one has begun whose end is not known."""
    with warehouse.transaction(connection):
        connection.execute("delete from raw.built")
        connection.execute(
            "insert into raw.built select unnest(?), unnest(?)", [list(built), list(built.values())]
        )
