"""The dbt-duckdb plugin named in profiles.yml: each dbt connection sees current inputs.

So `dbt build`, typed by an analyst on a fresh clone or any time later, finds the raw tables made,
and syncs.yml, the user's own CSV files and the ledger as they are now. It takes the same lock as
the `relay` command, and a build that ends well publishes the analysts' copy.
"""

import atexit
import json
import sys
from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.flags import get_flags
from duckdb import DuckDBPyConnection

from relay import dbt_settings, warehouse
from relay.settings import Settings, load_settings

_BUILDS = {"build", "run", "seed"}


class Plugin(BasePlugin):
    """Prepares folders before the file is opened; its limit of memory and raw tables after."""

    settings: Settings

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Read the settings and make the folders dbt is about to write to."""
        self.settings = dbt_settings.current or load_settings()
        home = self.settings.home
        for folder in (home.warehouse, home.outbox / "next"):
            folder.mkdir(parents=True, exist_ok=True)

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Bring raw tables up to date on dbt's connection, under the lock until dbt is done."""
        is_typed = dbt_settings.current is None
        if is_typed:
            warehouse.acquire_lock(self.settings.home, "dbt " + " ".join(sys.argv[1:2]))
            atexit.register(_publish_after_build, self.settings)
        # What does not fit goes to disk, beside the warehouse.
        conn.execute(f"set memory_limit = '{self.settings.env.relay_memory}'")
        warehouse.prepare(conn, self.settings)
        if is_typed and get_flags().WHICH in _BUILDS:
            # What a person builds may be part of a project, or another one: `relay` builds it anew.
            conn.execute("delete from raw.built")


def _publish_after_build(settings: Settings) -> None:
    """Publish if the dbt command that is ending was a build or run without a failure."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    flags = get_flags()
    if flags.WHICH not in _BUILDS or getattr(flags, "EMPTY", False):
        return
    results = Path(settings.project_root) / (flags.TARGET_PATH or "target") / "run_results.json"
    if not results.exists():
        return
    statuses = {result["status"] for result in json.loads(results.read_text())["results"]}
    DuckDBConnectionManager.close_all_connections()
    if statuses.isdisjoint({"error", "fail", "skipped", "runtime error"}):
        warehouse.publish(settings.home)
