"""dbt's models as plain SQL: compiled once, run in DuckDB without dbt, on tables a test has made.

So that a property test may run the rules hundreds of times. An incremental model runs as its full
refresh, or, where a test asks for it, as dbt runs it again: its incremental branch, whose rows take
the place of all, or of those with the same unique key. Hooks do not run.
"""

import copy
import fcntl
import json
import shutil
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from relay.plan.dbt import run_dbt
from relay.settings import Settings, load_settings


class CompiledModels:
    """The project's models with their SQL and what each of them reads."""

    def __init__(
        self, manifest: dict[str, Any], incremental_manifest: dict[str, Any] | None = None
    ) -> None:
        self._nodes = _models_of(manifest)
        self._incremental_nodes = _models_of(incremental_manifest or {"nodes": {}})
        self._names = {node["unique_id"]: node["name"] for node in self._nodes.values()}
        self._tests = {
            node["name"]: node
            for node in manifest["nodes"].values()
            if node["resource_type"] == "test"
        }

    @classmethod
    def of_project(cls, folder: Path) -> "CompiledModels":
        """Compile the project into `folder`, unless that was done there before."""
        return cls(_once(folder, "compiled.json", lambda settings: run_dbt(settings, ["compile"])))

    @classmethod
    def with_incremental_branches(cls, folder: Path) -> "CompiledModels":
        """As `of_project`, and once more as it compiles where every model has been built before."""

        def compile_again(settings: Settings) -> None:
            run_dbt(settings, ["seed"])
            run_dbt(settings, ["run", "--empty"])
            run_dbt(settings, ["compile"])

        first = _once(folder, "compiled.json", lambda settings: run_dbt(settings, ["compile"]))
        return cls(first, _once(folder, "compiled_again.json", compile_again))

    @property
    def names(self) -> set[str]:
        """Of all models."""
        return set(self._nodes)

    def test(self, name: str) -> str:
        """The query of a data test; what it gives, if anything, is offenders."""
        return _code_of(self._tests[name])

    def code(self, name: str) -> str:
        """One model's SQL, without the name of the database."""
        return _code_of(self._nodes[name])

    def with_text(self, name: str, old: str, new: str) -> "CompiledModels":
        """The same, but for a text in the SQL of one model that is another one there."""
        other = copy.deepcopy(self)
        for nodes in (other._nodes, other._incremental_nodes):
            assert old in nodes[name]["compiled_code"]
            nodes[name]["compiled_code"] = nodes[name]["compiled_code"].replace(old, new)
        return other

    def run(
        self,
        connection: DuckDBPyConnection,
        names: Iterable[str],
        *,
        given: Collection[str] = (),
        again: bool = False,
    ) -> None:
        """Build these models and all they read, but for those that the test gave as tables.

        Args:
            connection: Where.
            names: The models.
            given: Models that are there already.
            again: As a later build does: incremental models that are there take in what is new, and
                views that are there follow by themselves.
        """
        done: set[str] = set(given)
        # Asked once, not for each model: of a short run that would be the larger part.
        there = {
            f"{kind} {schema}.{alias}"
            for kind, schema, alias in connection.execute(
                "select 'table', schema_name, table_name from duckdb_tables() union all"
                " select 'view', schema_name, view_name from duckdb_views() where not internal"
            ).fetchall()
        }
        for name in names:
            self._run_one(connection, name, done, there, again)

    def _run_one(
        self,
        connection: DuckDBPyConnection,
        name: str,
        done: set[str],
        there: Collection[str],
        again: bool,
    ) -> None:
        if name in done:
            return
        node = self._nodes[name]
        for parent in node["depends_on"]["nodes"]:
            if parent in self._names:
                self._run_one(connection, self._names[parent], done, there, again)
        done.add(name)
        relation = node["relation_name"].split(".", 1)[1]
        kind = "view" if node["config"]["materialized"] == "view" else "table"
        is_there = f"{kind} {node['schema']}.{node['alias']}" in there
        if again and is_there and kind == "view":
            return
        if again and is_there and node["config"]["materialized"] == "incremental":
            self._take_in(connection, name, relation)
            return
        connection.execute(f'create schema if not exists "{node["schema"]}"')
        connection.execute(f"create or replace {kind} {relation} as {_code_of(node)}")

    def _take_in(self, connection: DuckDBPyConnection, name: str, relation: str) -> None:
        node = self._incremental_nodes[name]
        if node["config"]["incremental_strategy"] == "replace_all":
            following = f"{node['schema']}.{node['alias']}__following"
            connection.execute(f"create or replace table {following} as {_code_of(node)}")
            connection.execute(f"drop table {relation}")
            connection.execute(f"alter table {following} rename to {node['alias']}")
            return
        connection.execute(f"create or replace temp table news as {_code_of(node)}")
        key = node["config"]["unique_key"]
        columns = [key] if isinstance(key, str) else key
        same = " and ".join(f"old.{column} = news.{column}" for column in columns)
        connection.execute(f"delete from {relation} as old using news where {same}")
        connection.execute(f"insert into {relation} by name select * from news")


def _models_of(manifest: dict[str, Any]) -> dict[str, Any]:
    nodes = manifest["nodes"].values()
    return {node["name"]: node for node in nodes if node["resource_type"] == "model"}


def _code_of(node: dict[str, Any]) -> str:
    return str(node["compiled_code"]).replace(f'"{node["database"]}".', "")


def _once(folder: Path, name: str, compile_it: Callable[[Settings], object]) -> dict[str, Any]:
    """The manifest that `compile_it` leaves; the workers of a test run share what one has made."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / name
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            settings = load_settings(folder / "home", environ={})
            compile_it(settings)
            shutil.copyfile(settings.home.root / "target" / "manifest.json", kept)
    return dict(json.loads(kept.read_text(encoding="utf-8")))
