"""What dbt's own connection is given before it reads anything."""

from pathlib import Path

import duckdb
import pytest

from relay import dbt_settings
from relay.dbt_plugin import Plugin
from relay.settings import load_settings


@pytest.mark.parametrize(("variable", "limit"), [("300MB", "286.1 MiB"), ("", "572.2 MiB")])
def test_its_memory_has_a_limit_and_the_rest_goes_beside_the_warehouse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, limit: str
) -> None:
    settings = load_settings(tmp_path, environ={"RELAY_MEMORY": variable})
    monkeypatch.setattr(dbt_settings, "current", settings)
    plugin = Plugin("relay", {})
    with duckdb.connect(str(settings.home.database)) as connection:
        plugin.configure_connection(connection)
        ((memory, folder),) = connection.execute(
            "select current_setting('memory_limit'), current_setting('temp_directory')"
        ).fetchall()
    assert memory == limit
    assert Path(folder).parent == settings.home.warehouse
