"""dbt's models as plain SQL: compiled once, run in DuckDB without dbt, on tables a test has made.

So that a property test may run the rules hundreds of times. An incremental model runs as its full
refresh; what its incremental branch does is another test's business.
"""

import fcntl
import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from relay.plan.build import run_dbt
from relay.settings import load_settings


class CompiledModels:
    """The project's models with their SQL and what each of them reads."""

    def __init__(self, manifest: dict[str, Any]) -> None:
        self._nodes = {
            node["name"]: node
            for node in manifest["nodes"].values()
            if node["resource_type"] == "model"
        }
        self._names = {node["unique_id"]: node["name"] for node in self._nodes.values()}
        self._tests = {
            node["name"]: node
            for node in manifest["nodes"].values()
            if node["resource_type"] == "test"
        }

    @classmethod
    def of_project(cls, folder: Path) -> "CompiledModels":
        """Compile the project into `folder`, unless that was done there before."""
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            # The workers of one test run share the folder: one compiles, the others wait.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "done").exists():
                settings = load_settings(folder / "home", environ={})
                run_dbt(settings, ["compile"])
                (folder / "done").touch()
        manifest = folder / "home" / "target" / "manifest.json"
        return cls(json.loads(manifest.read_text(encoding="utf-8")))

    @property
    def names(self) -> set[str]:
        """Of all models."""
        return set(self._nodes)

    def test(self, name: str) -> str:
        """The query of a data test; what it gives, if anything, is offenders."""
        node = self._tests[name]
        return str(node["compiled_code"]).replace('"relay".', "")

    def code(self, name: str) -> str:
        """One model's SQL, without the name of the database."""
        node = self._nodes[name]
        return str(node["compiled_code"]).replace(f'"{node["database"]}".', "")

    def run(
        self, connection: DuckDBPyConnection, names: Iterable[str], *, given: Collection[str] = ()
    ) -> None:
        """Build these models and all they read, but for those that the test gave as tables."""
        done: set[str] = set(given)
        for name in names:
            self._run_one(connection, name, done)

    def _run_one(self, connection: DuckDBPyConnection, name: str, done: set[str]) -> None:
        if name in done:
            return
        node = self._nodes[name]
        for parent in node["depends_on"]["nodes"]:
            if parent in self._names:
                self._run_one(connection, self._names[parent], done)
        kind = "view" if node["config"]["materialized"] == "view" else "table"
        relation = node["relation_name"].split(".", 1)[1]
        code = self.code(name)
        connection.execute(f'create schema if not exists "{node["schema"]}"')
        connection.execute(f"create or replace {kind} {relation} as {code}")
        done.add(name)
