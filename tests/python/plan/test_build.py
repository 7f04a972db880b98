"""A build runs what hangs on inputs that have changed since the last one, and nothing else."""

import gc
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relay import warehouse
from relay.errors import BuildError
from relay.plan import build as module
from relay.plan import dbt as dbt_module
from relay.plan.build import build
from relay.plan.dbt import read_project, read_project_ahead, run_dbt
from relay.plan.project import part_of, was_elsewhere
from relay.settings import Settings, load_settings

SYNCS = """version: 1
cohort_syncs:
  - {name: one, cohort_id: "7", destination: moengage}
"""
MORE = '  - {name: two, cohort_id: "7", destination: lytics}\n'
NOW = "2026-03-01T12:00:00+00:00"
LATER = "2026-03-01T13:00:00+00:00"
SNAPSHOT = """
    insert into raw.amplitude_cohort_snapshots
    values
    ('7@1', '7', 'Cart', 1, timestamp '2026-03-01', 1, 1, 'f', 'x', 1, timestamp '2026-03-01');
    insert into raw.amplitude_cohort_members
    values ('7', 1, 'ann', null, 1, timestamp '2026-03-01', null, 'f', 1)
"""

Build = Callable[..., list[str]]


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Builds the home at a time and gives the models and tests that were selected for it."""
    ran: list[Sequence[str]] = []

    def watched(settings: Settings, arguments: Sequence[str], manifest: Any = None) -> int:
        nodes = (manifest or read_project(settings)).nodes.values()
        ran.append([*arguments, *(node.name for node in nodes if "due" in node.tags)])
        return run_dbt(settings, arguments, manifest)

    monkeypatch.setattr(module, "run_dbt", watched)

    def at(now: str, syncs: str = SYNCS, change: str = "") -> list[str]:
        (tmp_path / "syncs.yml").write_text(syncs, encoding="utf-8")
        settings = load_settings(tmp_path, environ={"RELAY_NOW": now})
        with warehouse.lock(settings.home, "test"):
            if change:
                with warehouse.connect(settings) as connection:
                    connection.execute(change)
            ran.clear()
            nodes = build(settings)
        assert (nodes > 0) == bool(ran)
        return [name for arguments in ran for name in arguments]

    return at


def test_a_build_runs_what_hangs_on_what_changed(built: Build) -> None:
    collects = gc.get_threshold()
    assert "--select" not in built(NOW)
    # What is done for dbt's sake ends with it: later steps count on the collector.
    assert gc.isenabled()
    assert gc.get_threshold() == collects
    # Nothing is new, an hour later either.
    assert built(LATER) == []

    entered = built(LATER, change=SNAPSHOT)
    assert {"identity__members_to_key", "cohorts__membership_changes"} < set(entered)
    assert "payloads__moengage_cohort_changes" in entered
    # Nothing goes to Lytics, and the ledger says what it said.
    assert "payloads__lytics_cohorts" not in entered
    assert "ledger__key_states" not in entered
    # Nor is anything exported to Amplitude, until there is an identity to set.
    assert not {"events__export_queue", "payloads__amplitude_identities"} & set(entered)
    named = built(LATER, change="insert into raw.identities values (1, 'ann', 'ann@x.org', null)")
    assert "payloads__amplitude_identities" in named
    assert "payloads__amplitude_identities" in built(LATER, change="delete from raw.identities")

    # What waits to be sent carries the time of the run; with the same time it is the same.
    assert "payloads__moengage_cohort_changes" not in built(LATER)
    assert "fields__lytics_cohort_changes" not in built(NOW)

    # A further destination gets its tables.
    added = built(NOW, SYNCS + MORE)
    assert {"cohorts__current_syncs", "payloads__lytics_cohorts"} < set(added)
    assert built(NOW, SYNCS + MORE) == []


def test_what_a_stopped_build_may_have_made_is_made_again(built: Build) -> None:
    built(NOW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "run_dbt", _stopped)
        with pytest.raises(RuntimeError, match="stopped"):
            built(NOW, SYNCS + MORE)
    # The inputs are again what they were at the last build that came to its end.
    assert "cohorts__current_syncs" in built(NOW)
    assert built(NOW) == []


def test_another_version_of_the_project_builds_everything_over_what_is_there(built: Build) -> None:
    first = built(NOW)
    change = "update raw.built set state = 'another' where name = 'the project'"
    assert built(NOW, change=change) == first
    assert built(NOW) == []


def test_a_table_of_another_version_is_told_how_to_make_anew(built: Build, tmp_path: Path) -> None:
    built(NOW)
    change = """
        alter table ledger.key_states drop column key_hash;
        update raw.built set state = 'another' where name = 'the project'
    """
    with pytest.raises(BuildError, match=r"key_hash(.|\n)*relay build --full-refresh"):
        built(NOW, change=change)
    settings = load_settings(tmp_path, environ={"RELAY_NOW": NOW})
    with warehouse.lock(settings.home, "test"):
        assert build(settings, ["--full-refresh"]) > 0


def test_a_project_that_was_moved_is_read_anew(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, environ={"RELAY_NOW": NOW})
    manifest = read_project(settings)
    assert not was_elsewhere(manifest, settings.project_root)
    assert was_elsewhere(manifest, tmp_path)


def test_dbt_is_given_what_a_build_needs_and_no_more(tmp_path: Path) -> None:
    manifest = read_project(load_settings(tmp_path, environ={"RELAY_NOW": NOW}))
    node = next(one for one in manifest.nodes.values() if one.name == "stg_amplitude__retries")
    part = part_of(manifest, [node])
    assert {one.name for one in part.nodes.values()} == {"stg_amplitude__retries"}
    assert not part.unit_tests
    macros = {macro.name for macro in part.macros.values()}
    # Of the project, of dbt for every engine, of DuckDB's own; by dispatch, and by name alone.
    assert {"clean_text", "materialization_incremental_duckdb", "create_schema"} < macros
    assert {"duckdb__create_schema", "default__truncate_relation"} < macros
    assert not {"materialization_snapshot_default", "py_script_postfix"} & macros


def test_the_project_is_read_while_something_else_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dbt_module, "_manifests", {})
    settings = load_settings(tmp_path, environ={"RELAY_NOW": NOW})
    read_project_ahead(settings)
    (reading,) = [one for one in threading.enumerate() if one.name == "relay-project"]
    assert read_project(settings) is read_project(settings)
    reading.join()
    # What is wrong is said to who needs it.
    nothing = replace(settings, project_root=tmp_path)
    read_project_ahead(nothing)
    with pytest.raises(BuildError, match="dbt could not read the project"):
        read_project(nothing)


@pytest.mark.parametrize("is_writable", [True, False])
def test_all_homes_share_what_dbt_made_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_writable: bool
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "dbt_project.yml").write_text("name: small\nprofile: cohort_relay\nversion: '1.0'\n")
    shutil.copy(load_settings(tmp_path, environ={}).project_root / "profiles.yml", project)
    monkeypatch.setattr(os, "access", lambda _, mode: is_writable or mode != os.W_OK)
    written = []
    for home in (tmp_path / "one", tmp_path / "other"):
        home.mkdir()
        monkeypatch.setenv("RELAY_HOME", str(home))
        monkeypatch.setattr(dbt_module, "_manifests", {})
        read_project(replace(load_settings(home, environ={}), project_root=project))
        assert os.environ["RELAY_HOME"] == str(home)
        kept = project if is_writable else home
        written.append((kept / "target" / "partial_parse.msgpack").stat().st_mtime_ns)
        assert (home / "target" / "partial_parse.msgpack").exists() != is_writable
    assert (written[0] == written[1]) == is_writable


def _stopped(settings: Settings, arguments: Sequence[str], manifest: Any) -> int:
    raise RuntimeError("stopped")


def test_every_input_of_the_models_is_looked_at(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, environ={"RELAY_NOW": NOW})
    manifest = read_project(settings)
    read = {
        source.name
        for source_id, source in manifest.sources.items()
        if any(child.startswith("model.") for child in manifest.child_map[source_id])
    }
    with warehouse.connect(settings) as connection:
        inputs, _ = module._look(connection, settings)
    assert read == set(inputs)
