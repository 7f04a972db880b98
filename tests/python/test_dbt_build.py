"""`dbt build` as an analyst types it at the project root: on a fresh home, and with --empty."""

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from relay.settings import find_project_root

PAYLOADS = ("clevertap_cohort_changes", "moengage_cohort_changes", "lytics_cohorts")


def _dbt(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    dbt = Path(sys.executable).with_name("dbt")
    return subprocess.run(
        [str(dbt), *arguments, "--no-use-colors", "--target-path", str(home / "target")],
        cwd=find_project_root(),
        env={**os.environ, "RELAY_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which dbt was the first thing that ever ran, with all its tests."""
    home = tmp_path_factory.mktemp("home")
    (home / "syncs.yml").write_text(
        (find_project_root() / "syncs.example.yml").read_text(encoding="utf-8"), encoding="utf-8"
    )
    done = _dbt(home, "build")
    assert done.returncode == 0, done.stdout[-4000:]
    return home


def test_every_model_and_test_passes_on_a_fresh_home(home: Path) -> None:
    results = json.loads((home / "target" / "run_results.json").read_text(encoding="utf-8"))
    statuses = {result["status"] for result in results["results"]}
    kinds = {result["unique_id"].split(".")[0] for result in results["results"]}
    assert statuses <= {"success", "pass"}
    assert {"model", "seed", "test", "unit_test"} <= kinds


def test_it_sees_the_configuration_and_publishes(home: Path) -> None:
    with duckdb.connect(str(home / "warehouse" / "analytics.duckdb"), read_only=True) as copy:
        names = copy.execute("select sync_name from staging.stg_relay__syncs").fetchall()
        assert ("cart-to-clevertap",) in names
        assert copy.execute("select count(*) from reports.deliveries").fetchall() == [(0,)]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_files_for_upload_are_right_with_no_rows(home: Path, payload: str) -> None:
    folder = home / "outbox" / "next"
    lines = (folder / f"{payload}.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("sync_name,")
    assert (folder / f"{payload}.ndjson").read_bytes() == b""


def test_an_empty_build_leaves_the_files_alone(home: Path) -> None:
    file = home / "outbox" / "next" / "clevertap_cohort_changes.csv"
    published = home / "warehouse" / "analytics.duckdb"
    before = (file.stat().st_mtime_ns, published.stat().st_mtime_ns)
    done = _dbt(home, "run", "--empty", "--select", "payloads__clevertap_cohort_changes")
    assert done.returncode == 0, done.stdout[-2000:]
    assert (file.stat().st_mtime_ns, published.stat().st_mtime_ns) == before


def test_a_broken_configuration_stops_the_build_by_name(home: Path, tmp_path: Path) -> None:
    (tmp_path / "syncs.yml").write_text("version: 1\ncohort_syncs:\n  - {name: a}\n", "utf-8")
    done = _dbt(tmp_path, "build", "--select", "stg_relay__syncs")
    assert done.returncode != 0
    assert "syncs.yml:3" in done.stdout + done.stderr
    assert not (tmp_path / "warehouse" / "analytics.duckdb").exists()
