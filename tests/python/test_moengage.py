"""Names of segments that a destination takes and tells apart; MoEngage's requests in bytes."""

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from compiled import CompiledModels
from destination_world import DestinationWorld
from relay.cli.plan import plan_table
from relay.emulate import Emulators, MoengageSwitches
from relay.plan.requests import Limits, cut_requests, write_bodies

LIMITS = Path(__file__).parents[2] / "seeds" / "vendors" / "request_limits.csv"


def _segments(models: CompiledModels, *cohorts: tuple[str, str, str]) -> None:
    """Name the segments of (destination, id, name) and run the tests that stop a build."""
    connection = duckdb.connect()
    for schema in ("staging", "cohorts", "fields"):
        connection.execute(f"create schema {schema}")
    connection.execute(
        "create table staging.stg_relay__settings as"
        " select '[Amplitude][{name}]' as moengage_cohort_name_format"
    )
    connection.execute(
        "create table cohorts.current_syncs (sync_name varchar, destination varchar,"
        " cohort_id varchar, cohort_name varchar, no_snapshot_reason varchar)"
    )
    for number, cohort in enumerate(cohorts):
        connection.execute(
            "insert into cohorts.current_syncs values (?, ?, ?, ?, null)", [f"s{number}", *cohort]
        )
    models.run(
        connection, ["fields__segment_names"], given=models.names - {"fields__segment_names"}
    )
    for name in ("cohorts_have_segment_names_of_their_own", "segment_names_are_taken"):
        connection.execute(models.test(name)).fetchall()


@pytest.mark.parametrize(
    ("destination", "left", "right"),
    [
        ("moengage", "Users: paid", "Users? paid"),
        ("moengage", ".Trial", "-Trial"),
        ("moengage", "VIP (7d)", "vip -7D-"),
        ("clevertap", "Cart Drop off", "cart drop OFF"),
        ("lytics", "Power Users", "Power Users"),
    ],
)
def test_two_cohorts_of_one_name_stop_the_build_with_both(
    compiled_models: CompiledModels, destination: str, left: str, right: str
) -> None:
    with pytest.raises(duckdb.InvalidInputException) as caught:
        _segments(compiled_models, (destination, "c1", left), (destination, "c2", right))
    message = str(caught.value)
    assert f'"{left}" (cohort c1) and "{right}" (cohort c2)' in message
    assert "Rename one of them in Amplitude, or give its sync a segment_name" in message


@pytest.mark.parametrize(
    "cohorts",
    [
        [("moengage", "c1", "Cart"), ("clevertap", "c2", "Cart")],
        [("clevertap", "c1", "Cart"), ("clevertap", "c1", "Cart")],
        [("clevertap", "c1", "Users: paid"), ("clevertap", "c2", "Users? paid")],
    ],
)
def test_names_that_are_told_apart_stop_nothing(
    compiled_models: CompiledModels, cohorts: list[tuple[str, str, str]]
) -> None:
    """Other destinations, two ways to deliver one cohort, names that only MoEngage would change."""
    _segments(compiled_models, *cohorts)


@pytest.mark.parametrize(
    ("destination", "name", "problem"),
    [
        ("clevertap", "é" * 257, "the name is 514 bytes, CleverTap takes 512"),
        ("clevertap", " ", "the name is empty"),
        ("moengage", "", "the name is empty"),
        ("lytics", "", "the name is empty"),
    ],
)
def test_a_name_that_would_be_cut_or_dropped_stops_the_build(
    compiled_models: CompiledModels, destination: str, name: str, problem: str
) -> None:
    with pytest.raises(duckdb.InvalidInputException) as caught:
        _segments(compiled_models, (destination, "c1", name))
    assert f"cohort c1 to {destination}: {problem}" in str(caught.value)
    _segments(compiled_models, ("clevertap", "c1", "é" * 256), ("moengage", "c2", "x" * 600))


def test_no_request_is_over_the_bytes_that_moengage_takes(
    compiled_models: CompiledModels, tmp_path: Path
) -> None:
    """128 KB of the final body, counted in bytes: names and ids may be wider than letters."""
    connection = duckdb.connect()
    for schema in ("staging", "cohorts", "payloads"):
        connection.execute(f"create schema {schema}")
    connection.execute(
        "create table staging.stg_relay__settings as"
        " select '[Amplitude][{name}]' as moengage_cohort_name_format"
    )
    connection.execute(
        """
        create table cohorts.membership_changes as
        select 's' as sync_name, 'moengage' as destination, 'c1' as cohort_id,
            'Séance: 🎧 "été"' as cohort_name, if(number % 3 = 0, 1, 2) as phase,
            'change ' || number as change_id, if(number % 3 = 0, 'removed', 'added') as action,
            'entered' as reason, 'user_id' as key_type,
            'ü"\\' || repeat('é', number % 90) || number as key_value, key_value as match_key,
            ['p'] as person_ids, ['a'] as anchors, 'h' as payload_hash, false as is_parked
        from range(9000) as t (number)
        """
    )
    model = "payloads__moengage_cohort_changes"
    compiled_models.run(connection, [model], given=compiled_models.names - {model})
    limits = connection.execute(
        f"select max_records, max_bytes from '{LIMITS}' where destination = 'moengage'"
    ).fetchone()
    assert limits == (None, 128_000)
    cut = cut_requests(connection, "payloads.moengage_cohort_changes", Limits(*limits))
    path = tmp_path / "requests.ndjson"
    write_bodies(connection, cut, path)
    members: dict[str, list[str]] = {"add_members": [], "remove_members": []}
    sizes = []
    for line in path.read_bytes().splitlines():
        sizes.append(len(line))
        body: dict[str, Any] = json.loads(line)
        assert body["partner"] == "Amplitude"
        assert body["parameters"]["cohort_name"] == "[Amplitude][Séance- 🎧 -été-]"
        members[body["action"]] += [member["uid"] for member in body["parameters"]["members"]]
    assert max(sizes) <= 128_000
    assert len(sizes) > 6
    expected = connection.execute(
        "select action, key_value from cohorts.membership_changes order by all"
    ).fetchall()
    assert sorted(members["add_members"]) == sorted(k for a, k in expected if a == "added")
    assert sorted(members["remove_members"]) == sorted(k for a, k in expected if a == "removed")


SYNC = """\
version: 1
cohort_syncs:
  - {name: cart-to-moengage, cohort_id: c1, destination: moengage}
"""


def test_the_segment_is_the_cohort_and_the_plan_says_who_will_be_found(
    models_built_again: CompiledModels, tmp_path: Path
) -> None:
    """Planned, sealed and sent to the emulator: who is known there, and nobody twice."""
    segment = "[Amplitude][Cart Drop off]"
    with Emulators(moengage=MoengageSwitches(cohort_requests_a_minute=None)) as vendors:
        vendors.moengage.add_users(["ann ✓", "9223372036854775807", "cy"])
        world = DestinationWorld(models_built_again, tmp_path, SYNC, vendors.environ)
        people = [("user_id", "ann ✓"), ("user_id", "9223372036854775807"), ("user_id", "nobody")]
        world.members({"cart-to-moengage": people})
        first = world.plan()
        assert first.document["syncs"][0]["forecast"] == {
            "matched": 0,
            "unmatched": 0,
            "unknown": 3,
        }
        assert "3 unknown" in plan_table(first.syncs)
        assert world.apply(first).syncs[0].delivered == 3
        assert vendors.moengage.members(segment) == {"ann ✓", "9223372036854775807"}
        assert world.plan().plan is None
        # With a directory nobody is sent who would be dropped without a word.
        world.connection.execute(
            "insert into raw.known_users by name select 'moengage' as destination,"
            " unnest(['ann ✓', '9223372036854775807', 'cy']) as user_key,"
            " 'users.csv' as source_file, 1 as load_id, timestamp '2026-03-01' as loaded_at"
        )
        world.members({"cart-to-moengage": [*people[:1], ("user_id", "cy")]})
        world.connection.execute("update identity.keys set matched_on = 'user_id'")
        world.connection.execute(
            "insert into identity.keys by name select 'cart-to-moengage' as sync_name,"
            " 'moengage' as destination, 'c1' as cohort_id, 'p x' as person_id,"
            " 'unmatched' as status"
        )
        second = world.plan()
        assert second.plan is not None
        (sync,) = second.plan.syncs
        assert sync.forecast == {"matched": 2, "unmatched": 1, "unknown": 0}
        assert (sync.added, sync.removed, sync.unaddressable) == (1, 2, 1)
        world.apply(second)
        assert vendors.moengage.members(segment) == {"ann ✓", "cy"}
