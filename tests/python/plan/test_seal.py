"""A sealed plan: the same bytes each time, whole or not there at all, and nobody changes it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from plan.sealing import LIMITS, SYNCS, seal
from relay import warehouse
from relay.errors import PlanError
from relay.ledger_tables import refresh_ledger_tables
from relay.plan.manifest import Plan, read_plan, sealed_manifests
from relay.plan.show import show_plan
from relay.settings import load_settings


def seal_elsewhere(
    home: Path, threads: int, seed: int, **environment: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "plan.sealing", str(home), str(threads), str(seed)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def bytes_of(home: Path) -> dict[str, bytes]:
    """Every file in the outbox."""
    outbox = home / "outbox"
    return {
        str(file.relative_to(outbox)): file.read_bytes()
        for file in sorted(outbox.rglob("*"))
        if file.is_file()
    }


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return seal(tmp_path_factory.mktemp("sealed"), 2, 0)


def test_another_process_with_other_threads_seals_the_same_bytes(
    plan: Plan, tmp_path: Path
) -> None:
    for threads, seed in ((1, 1), (4, 2)):
        home = tmp_path / str(threads)
        done = seal_elsewhere(home, threads, seed, PYTHONHASHSEED=str(seed))
        assert done.stdout.strip() == plan.plan_id, done.stderr
        assert bytes_of(home) == bytes_of(plan.folder.parents[1])


def test_no_request_is_larger_than_the_destination_takes(plan: Plan) -> None:
    limits = {
        (row[0], row[1]): row[2:]
        for row in duckdb.sql(
            f"select destination, delivery, max_records, max_bytes from read_csv('{LIMITS}')"
        ).fetchall()
    }
    for name, (destination, delivery, rows) in SYNCS.items():
        max_records, max_bytes = limits[destination, delivery or "members"]
        file = plan.file(name, "requests")
        assert file is not None
        lines = (plan.folder / file.path).read_bytes().splitlines()
        sizes = []
        for line in lines:
            document = json.loads(line)
            records = document if isinstance(document, list) else next(iter(document.values()))
            sizes.append(len(records))
            assert len(line) <= max_bytes
        assert sum(sizes) == rows
        assert max(sizes) <= (max_records or rows)
        assert file.requests == len(lines) >= 2


def test_a_file_that_was_changed_or_is_gone_is_named(tmp_path: Path) -> None:
    plan = seal(tmp_path, 2, 0)
    home = load_settings(tmp_path, environ={}).home
    roles = {file.role for file in plan.files}
    hand_uploads = {"members_csv", "added_csv", "removed_csv", "anonymous_csv"}
    assert roles == {"requests", "rows", "csv", *hand_uploads}
    for file in plan.files:
        path = plan.folder / file.path
        whole = path.read_bytes()
        middle = len(whole) // 2
        for damaged in (
            whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            whole[:-1],
            whole + b"\n",
        ):
            path.write_bytes(damaged)
            with pytest.raises(PlanError, match=f"{path} was changed after sealing"):
                read_plan(home, plan.plan_id)
        path.unlink()
        with pytest.raises(PlanError, match=f"{path} is missing"):
            read_plan(home, plan.plan_id)
        path.write_bytes(whole)
    manifest = plan.folder / "manifest.json"
    sealed = manifest.read_text()
    manifest.write_text(sealed.replace('"state": "ready"', '"state": "held"'))
    with pytest.raises(PlanError, match=f"{manifest} was changed after sealing"):
        read_plan(home, plan.plan_id)
    manifest.write_text(sealed[:-20])
    with pytest.raises(PlanError, match=f"{manifest}: not a manifest of a sealed plan"):
        read_plan(home, plan.plan_id)
    manifest.write_text(sealed)
    assert read_plan(home, plan.plan_id) == plan


@pytest.mark.parametrize("name", ["20260302T120000Z-00000000", "../ledger", ""])
def test_a_plan_that_does_not_exist_is_refused_with_the_newest(plan: Plan, name: str) -> None:
    home = load_settings(plan.folder.parents[1], environ={}).home
    with pytest.raises(PlanError, match=f"there is no plan {name} in .*: {plan.plan_id}"):
        read_plan(home, name)


def test_killed_while_sealing_there_is_a_whole_plan_or_none(plan: Plan, tmp_path: Path) -> None:
    log = tmp_path / "points"
    calm = seal_elsewhere(tmp_path / "calm", 2, 0, RELAY_FAULT_LOG=str(log))
    assert calm.stdout.strip() == plan.plan_id
    truth = bytes_of(tmp_path / "calm")
    points = log.read_text().split()
    assert {"durable.written.parquet", "durable.renamed.json", "plan.before_rename"} <= set(points)
    home = load_settings(tmp_path / "killed", environ={}).home
    # A point once each, in the order in which a run comes by.
    for point in dict.fromkeys(points):
        done = seal_elsewhere(home.root, 2, 0, RELAY_FAULT_AT=f"{point}:1")
        assert done.returncode == -signal.SIGKILL
        plans = [manifest.parent.name for manifest in sealed_manifests(home)]
        assert plans == ([plan.plan_id] if point == "plan.sealed" else [])
        for found in plans:
            read_plan(home, found)
    # All that was begun is cleared away, and the plan is the one that never was interrupted.
    assert seal_elsewhere(home.root, 2, 0).stdout.strip() == plan.plan_id
    assert bytes_of(home.root) == truth


def test_a_plan_whose_sealing_was_cut_off_is_not_read(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, environ={})
    sealed = seal(tmp_path, 1, 0)
    shutil.copytree(sealed.folder, sealed.folder.with_name(".sealing-1"))
    with warehouse.connect(settings) as connection:
        refresh_ledger_tables(connection, settings.home)
        plans = connection.execute("select plan_id from raw.plans").fetchall()
    assert plans == [(sealed.plan_id,)]


def test_show_prints_counts_rows_and_the_exact_bodies(plan: Plan) -> None:
    document, text = show_plan(plan, "ct", 2)
    (sync,) = document["syncs"]
    file = plan.file("ct", "requests")
    assert file is not None
    bodies = (plan.folder / file.path).read_text().splitlines()
    assert sync["bodies"] == bodies[:2]
    assert [row["match_key"] for row in sync["rows"]] == ["ct-00000", "ct-00001" + "🛒" * 7]
    assert sync["requests"] == len(bodies)
    assert all(body in text for body in bodies[:2])
    with pytest.raises(PlanError, match="has no sync 'carts'; it has ct, moe, lyt"):
        show_plan(plan, "carts", 2)
