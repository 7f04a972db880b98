"""What a build must take up although the rows of those it concerns are as they were.

Builds carry on from the last one and look at who is touched; these are the people beside them.
After each test everything is built from the beginning and must be the same.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from identity_builds import IdentityBuilds
from identity_world import World, at

NICK = ["Nick", "user_id"]


@pytest.fixture
def world(identity_builds: IdentityBuilds, tmp_path: Path) -> Iterator[World]:
    world = World(identity_builds, tmp_path)
    yield world
    carried = keys(world)
    identity_builds.build(world.connection, full_refresh=True)
    assert keys(world) == carried


def keys(world: World) -> list[tuple[Any, ...]]:
    return world.rows(
        "select sync_name, anchor, detail, key_value from identity.keys"
        " join identity.resolved_persons using (anchor_key) order by all"
    )


def test_of_a_snapshot_only_who_moved_is_taken_up(world: World) -> None:
    world.sync("c", "7", "clevertap")
    for hour in (1, 2):
        world.cohort("7", [(None, f"u-{number}") for number in range(hour, hour + 50)], hour)
        world.build()
    ((touched,), (to_key,)) = world.rows(
        "select count(*) from identity.touched_persons"
        " union all select count(*) from identity.members_to_key"
    )
    assert (touched, to_key) == (2, 1)
    assert world.rows(
        "select count(*), min(rows_count), max(last_seen_at) from identity.persons"
        " where primary_user_id not in ('u-1', 'u-51')"
    ) == [(49, 2, at(2))]


def test_a_new_snapshot_is_newer_than_what_was_said_since_the_last(world: World) -> None:
    world.sync("c", "7", "clevertap", NICK)
    world.cohort("7", [(1, None, {"Nick": "in-file"}), (2, None, {})], 1)
    world.build()
    world.event(2, 1, properties={"Nick": "in-event"})
    world.build()
    assert keys(world)[0] == ("c", "amplitude_id:default:1", None, "in-event")
    world.cohort("7", [(1, None, {"Nick": "in-file"})], 3)
    world.build()
    assert keys(world) == [("c", "amplitude_id:default:1", None, "in-file")]


def test_of_two_cohorts_the_newer_one_says_what_a_property_is(world: World) -> None:
    world.sync("c", "7", "clevertap", NICK)
    for hour, cohort_id in enumerate("787", start=1):
        world.cohort(cohort_id, [(1, None, {"Nick": f"of-{cohort_id}"})], hour)
        world.build()
        assert keys(world) == [("c", "amplitude_id:default:1", None, f"of-{cohort_id}")]


def test_a_snapshot_that_comes_late_counts_too(world: World) -> None:
    world.cohort("7", [(1, "ann")], 1)
    world.cohort("7", [(1, "ann")], 3)
    world.build()
    seen = "select row_count, last_seen_at from identity.links"
    assert world.rows(seen)[0][0] == 2
    world.cohort("7", [(1, "ann")], 2)
    world.build()
    world.cohort("7", [(1, "ann")], 4)
    world.build()
    ((count, last),) = world.rows(seen)
    assert (count, last.hour) == (4, 4)


def test_who_shares_a_key_is_spelt_as_the_smallest_of_all(world: World) -> None:
    world.sync("c", "7", "clevertap")
    world.cohort("7", [(None, "kim"), (None, "ann")], 1)
    world.build()
    world.cohort("7", [(None, "kim"), (None, "Kim"), (None, "ann")], 2)
    world.build()
    assert [key[3] for key in keys(world)] == ["Kim", "ann", "Kim"]
    world.cohort("7", [(None, "kim"), (None, "ann")], 3)
    world.build()
    assert [key[3] for key in keys(world)] == ["ann", "kim"]


def test_whose_a_device_is_decides_what_others_on_it_are_called(world: World) -> None:
    world.sync("c", "7", "clevertap", ["Nick"])
    world.event(1, 1, "bob", "d-1")
    world.cohort("7", [(1, "bob")], 1)
    world.build()
    assert [key[2:] for key in keys(world)] == [(None, "d-1")]
    world.event(2, 2, "ann", "d-1")
    world.build()
    assert [key[2:] for key in keys(world)] == [("device_owned_by_other", None)]


@pytest.mark.parametrize("stop_after", ["identity__devices", "identity__device_links"])
def test_a_device_that_became_shared_in_a_build_that_was_killed(
    world: World, identity_builds: IdentityBuilds, stop_after: str
) -> None:
    world.sync("c", "7", "clevertap")
    world.setting("max_user_ids_per_device", 1)
    world.event(1, 1, None, "d-1")
    world.event(2, 2, "ann", "d-1")
    world.cohort("7", [(1, None)], 1)
    world.build()
    assert [key[2:] for key in keys(world)] == [(None, "ann")]
    world.event(3, 3, "bob", "d-1")
    identity_builds.build(world.connection, stop_after=stop_after)
    world.build()
    assert [key[2:] for key in keys(world)] == [("device_shared", None)]
