"""A load that is killed at any durable write and run again leaves what an unharmed one leaves."""

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from load import killed
from load.made import (
    NOW,
    PROJECT,
    archive,
    event,
    lines,
    member_name,
    open_warehouse,
    packed,
    settings_at,
    tables,
)
from relay.emulate import Emulators

EVENTS = "amplitude: {backfill_days: 1}\n"
COHORTS = "cohort_syncs:\n  - {name: all-of-them, cohort_id: all, destination: lytics}\n"
# Load ids only order; a load that was killed may have used one up.
_ORDERING = {"load_id"}


def state(home: Path, environ: Any, config: str) -> dict[str, list[Any]]:
    """Every raw table, load ids left out."""
    connection = open_warehouse(settings_at(home, environ, config))
    found = {}
    for name in tables(connection):
        relation = connection.execute(f"select * from raw.{name}")
        keep = [n for n, column in enumerate(relation.description) if column[0] not in _ORDERING]
        rows = [tuple(row[n] for n in keep) for row in relation.fetchall()]
        found[name] = sorted(rows, key=repr)
    connection.close()
    return found


def files(home: Path) -> list[str]:
    """Everything in landing/."""
    landing = home / "landing"
    return sorted(str(path.relative_to(landing)) for path in landing.rglob("*") if path.is_file())


def moments(log: Path, how_many: str) -> list[str]:
    """The moments that a run reached, as RELAY_FAULT_AT names them.

    `some` are the first and the last of each name, `last` are the last three, `all` are all.
    """
    counts: Counter[str] = Counter()
    found = []
    for name in log.read_text().splitlines():
        counts[name] += 1
        found.append((name, counts[name]))
    if how_many == "last":
        found = found[-3:]
    return [
        f"{name}:{number}"
        for name, number in found
        if how_many != "some" or number in {1, counts[name]}
    ]


HOW_MANY = pytest.mark.parametrize(
    "how_many", ["some", pytest.param("all", marks=pytest.mark.proof)]
)


@HOW_MANY
def test_events_by_the_api(tmp_path: Path, emulators: Emulators, how_many: str) -> None:
    amplitude = emulators.amplitude
    for number in (3, 20):
        rows = [event(number + n, at=NOW - timedelta(hours=number)) for n in range(5)]
        amplitude.add_events(PROJECT, rows)
    amplitude.add_export_member(PROJECT, NOW - timedelta(hours=20), packed(b"bad\n"))
    environ = emulators.environ
    whole, log = tmp_path / "whole", tmp_path / "log"
    killed.run("events", whole, environ, EVENTS, NOW, log=log)
    expected, landed = state(whole, environ, EVENTS), files(whole)
    assert (len(expected["amplitude_events"]), len(expected["rejected_rows"])) == (10, 1)
    points = moments(log, how_many)
    assert {point.rpartition(":")[0] for point in points} >= {
        "durable.written.zip",
        "durable.renamed.zip",
        "durable.written.sha256",
        "warehouse.before_commit",
        "warehouse.committed",
    }
    for number, point in enumerate(points):
        home = tmp_path / str(number)
        assert killed.run("events", home, environ, EVENTS, NOW, fault_at=point), point
        assert not killed.run("events", home, environ, EVENTS, NOW)
        assert state(home, environ, EVENTS) == expected, point
        assert files(home) == landed, point


def test_what_had_landed_is_not_asked_for_again(tmp_path: Path, emulators: Emulators) -> None:
    emulators.amplitude.add_events(PROJECT, [event(1, at=NOW - timedelta(hours=5))])
    config = "amplitude: {backfill_days: 0}\n"
    environ = emulators.environ
    killed.run("events", tmp_path, environ, config, NOW - timedelta(hours=6))
    point = "durable.renamed.sha256:1"
    assert killed.run("events", tmp_path, environ, config, NOW, fault_at=point)
    before = len(emulators.amplitude.log)
    assert not killed.run("events", tmp_path, environ, config, NOW)
    assert len(emulators.amplitude.log) == before
    assert len(state(tmp_path, environ, config)["amplitude_events"]) == 1


KINDS = ("files", "merges", "users", "cohort")
MERGE = b'{"scope":1,"merge_time":2,"amplitude_id":%d,"merged_amplitude_id":8}\n'


@pytest.mark.parametrize(
    ("kind", "how_many"),
    [
        ("files", "some"),
        *((kind, "last") for kind in ("merges", "users", "cohort")),
        *(pytest.param(kind, "all", marks=pytest.mark.proof) for kind in KINDS),
    ],
)
def test_files_by_hand(tmp_path: Path, kind: str, how_many: str) -> None:
    def put(home: Path) -> None:
        exports = home / "exports"
        exports.mkdir(parents=True)
        rows = [event(n) for n in range(5)]
        (exports / "a.zip").write_bytes(archive([(member_name(), packed(lines(rows)))]))
        (exports / "b.json").write_bytes(lines(rows[3:]) + b"bad\n")
        (exports / "-1_2026-03-01_0.json.gz").write_bytes(packed(MERGE % 9 + b"bad\n"))
        (exports / "-1_2026-03-01_1.json.gz").write_bytes(packed(MERGE % 7 + MERGE % 9))
        (exports / "u.csv").write_bytes(b"uid,moe_anonymous_id\nu1,a1\n,\n")
        (exports / "c.csv").write_bytes(b'"amplitude_id","user_id"\n"1","u1"\n"2",""\n')

    whole, log = tmp_path / "whole", tmp_path / "log"
    put(whole)
    killed.run(kind, whole, {}, "", NOW, log=log)
    expected = state(whole, {}, "")
    assert any(expected[name] for name in expected if name != "ledger_generation")
    for number, point in enumerate(moments(log, how_many)):
        home = tmp_path / str(number)
        put(home)
        assert killed.run(kind, home, {}, "", NOW, fault_at=point), point
        assert not killed.run(kind, home, {}, "", NOW)
        assert state(home, {}, "") == expected, point


@HOW_MANY
@pytest.mark.parametrize("cohorts", [1, pytest.param(3, marks=pytest.mark.proof)])
def test_cohorts(tmp_path: Path, emulators: Emulators, cohorts: int, how_many: str) -> None:
    amplitude = emulators.amplitude
    # The clock stands still, so that no job of a killed run ends and no ten minutes are over.
    amplitude.switches.cohort_jobs_at_once = amplitude.switches.cohort_requests_in_window = 10_000
    for number in range(cohorts):
        members = [(1, "u1"), (2 + number, None)]
        amplitude.set_cohort(
            f"cohort{number}", "C", None, NOW - timedelta(hours=1), members=members
        )
    environ = emulators.environ
    whole, log = tmp_path / "whole", tmp_path / "log"
    killed.run("cohorts", whole, environ, COHORTS, NOW, log=log)
    expected = state(whole, environ, COHORTS)
    assert len(expected["amplitude_cohort_members"]) == 2 * cohorts
    for number, point in enumerate(moments(log, how_many)):
        home = tmp_path / str(number)
        amplitude.cohorts.requests_by_month.clear()
        killed.run("cohorts", home, environ, COHORTS, NOW, fault_at=point)
        assert not killed.run("cohorts", home, environ, COHORTS, NOW)
        found = state(home, environ, COHORTS)
        for name in ("amplitude_cohorts", "cohort_computations"):
            assert found[name] == expected[name], point
        assert _members(found) == _members(expected), point
        spent = sum(amplitude.cohorts.requests_by_month.values())
        # Only an id that was not durable yet is asked for again, and that is on record.
        lost = [row for row in found["cohort_requests"] if row[4] == "lost"]
        assert spent <= cohorts + len(lost), point
        if cohorts == 1 and not point.startswith("durable.written.json"):
            assert spent == 1, point


def _members(found: dict[str, list[Any]]) -> list[Any]:
    """Members without the name of their file, which has the request's id in it."""
    return sorted((row[:7] for row in found["amplitude_cohort_members"]), key=repr)
