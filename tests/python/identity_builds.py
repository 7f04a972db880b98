"""Identity built again and again on one warehouse, without dbt's overhead.

The models' SQL is compiled by dbt in both of its forms, for a fresh warehouse and for one that was
built before; here only the few statements of the materializations are repeated. That those are
dbt's own too is for the test that runs dbt itself.
"""

import fcntl
import json
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from relay.plan.dbt import run_dbt
from relay.settings import load_settings

IDENTITY = ["--select", "+path:models/identity"]
NO_TESTS = ["--resource-type", "model", "--resource-type", "seed"]


class IdentityBuilds:
    """The models up to and with identity, in an order in which each finds what it reads."""

    def __init__(self, fresh: dict[str, Any], carried: dict[str, Any]) -> None:
        self._fresh = _models(fresh)
        self._carried = _models(carried)
        self._order: list[str] = []
        for name in sorted(self._fresh):
            if self._fresh[name]["schema"] == "identity":
                self._visit(name)

    @classmethod
    def of_project(cls, folder: Path) -> "IdentityBuilds":
        """Compile both forms into `folder`, unless that was done there before."""
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "carried.json").exists():
                settings = load_settings(folder / "home", environ={})
                manifest = folder / "home" / "target" / "manifest.json"
                run_dbt(settings, ["compile", *IDENTITY])
                (folder / "fresh.json").write_bytes(manifest.read_bytes())
                # The second build is the first that carries on, and says so in identity.scope.
                for _ in range(2):
                    run_dbt(settings, ["build", *NO_TESTS, *IDENTITY])
                run_dbt(settings, ["compile", *IDENTITY])
                (folder / "carried.json").write_bytes(manifest.read_bytes())
        forms = [
            json.loads((folder / f"{form}.json").read_text(encoding="utf-8"))
            for form in ("fresh", "carried")
        ]
        return cls(*forms)

    def build(
        self,
        connection: DuckDBPyConnection,
        *,
        full_refresh: bool = False,
        stop_after: str | None = None,
    ) -> None:
        """What `dbt build` does with identity; `stop_after` a model, as if killed there."""
        if full_refresh:
            connection.execute("delete from identity.progress")
        there = {
            f"{schema}.{table}"
            for schema, table in connection.execute(
                "select schema_name, table_name from duckdb_tables()"
                " union all select schema_name, view_name from duckdb_views()"
            ).fetchall()
        }
        for name in self._order:
            self._run(connection, name, full_refresh, there)
            if name == stop_after:
                return

    @property
    def order(self) -> list[str]:
        """The models' names as they are built."""
        return list(self._order)

    def _visit(self, name: str) -> None:
        if name in self._order:
            return
        unique_ids = {node["unique_id"]: key for key, node in self._fresh.items()}
        for parent in self._fresh[name]["depends_on"]["nodes"]:
            if parent in unique_ids:
                self._visit(unique_ids[parent])
        self._order.append(name)

    def _run(
        self, connection: DuckDBPyConnection, name: str, full_refresh: bool, there: set[str]
    ) -> None:
        node = self._fresh[name]
        config = node["config"]
        relation = str(node["relation_name"]).split(".", 1)[1]
        exists = f"{node['schema']}.{node['alias']}" in there
        is_view = config["materialized"] == "view"
        if is_view and exists and "each_build" not in config["tags"]:
            # As `relay build` does: what it shows follows by itself.
            return
        there.add(f"{node['schema']}.{node['alias']}")
        anew = full_refresh or self._is_anew(connection, name, config, there)
        code = self._code(self._fresh if anew else self._carried, name)
        if name == "identity__person_log":
            code = self._code(self._carried, name)
        kind = "view" if is_view else "table"
        connection.execute(f'create schema if not exists "{node["schema"]}"')
        if config["materialized"] == "table_function":
            parameters = ", ".join(config["parameters"])
            connection.execute(
                f"create or replace macro {relation}({parameters}) as table ({code})"
            )
            return
        if config["materialized"] != "incremental" or not exists:
            if config["materialized"] == "incremental":
                code = self._code(self._fresh, name)
            connection.execute(f"create or replace {kind} {relation} as {code}")
            return
        if full_refresh and config["full_refresh"] is not False:
            connection.execute(f"create or replace table {relation} as {code}")
            return
        connection.execute("begin")
        connection.execute(f"create or replace temp table superseding as {code}")
        if config["incremental_strategy"] == "supersede":
            key = config["unique_key"]
            meta = config["meta"]
            region = ""
            if "region" in meta:
                table = "identity." + meta["region"].removeprefix("identity__")
                region = _keys_of(table, meta["region_key"])
            if isinstance(key, list):
                pair = ", ".join(key)
                where = f"({pair}) in (select {pair} from superseding)"
                where += f" or {meta['region_key']} in ({region})"
            else:
                keys = _keys_of("superseding", key) + (region and f" union all {region}")
                where = f"{key} in ({keys})"
            connection.execute(f"delete from {relation} where {'true' if anew else where}")
        connection.execute(f"insert into {relation} by name from superseding")
        connection.execute("commit")

    @staticmethod
    def _is_anew(
        connection: DuckDBPyConnection, name: str, config: dict[str, Any], there: set[str]
    ) -> bool:
        if name == "identity__scope":
            return "identity.progress" not in there
        if "identity.scope" not in there:
            return True
        part = config["meta"].get("part", "links")
        if name == "identity__person_log":
            part = "persons"
        row = connection.execute(f"select {part}_is_new from identity.scope").fetchone()
        return row is None or bool(row[0])

    @staticmethod
    def _code(nodes: dict[str, Any], name: str) -> str:
        node = nodes[name]
        return str(node["compiled_code"]).replace(f'"{node["database"]}".', "")


def _keys_of(relation: str, key: str) -> str:
    """As the macro of that name."""
    return f"select {key} from {relation} where hash({key}) is not null"


def _models(manifest: dict[str, Any]) -> dict[str, Any]:
    return {
        node["name"]: node
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node.get("compiled_code")
    }
