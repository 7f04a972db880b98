"""`payloads.lytics_user_profiles` is what Lytics makes of the rows that are sent to it."""

import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from compiled import CompiledModels
from lytics_oracle import field_map, profiles_of
from lytics_world import (
    NOW,
    LyticsWorld,
    load_cohort,
    load_events,
    random_events,
    settling_events,
)

PEOPLE = [(1, "ann"), (3, None), (None, 'c"y'), (4, "Bo ✓"), (5, None), (2, "ann"), (7, None)]


def _cohort_rows(rng: random.Random) -> list[tuple[int | None, str | None, dict[str, Any]]]:
    return [
        (
            amplitude_id,
            user_id,
            {
                "city": rng.choice(["", "Graz", "Linz"]),
                "os": rng.choice(["", "ios 17"]),
                "region": "Styria",
                "tags": '["a"]',
            },
        )
        for amplitude_id, user_id in rng.sample(PEOPLE, rng.randrange(1, len(PEOPLE)))
    ]


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, sort_keys=True, ensure_ascii=False)


@pytest.mark.parametrize("seed", range(4))
def test_a_profile_is_the_mapping_applied_to_the_rows_that_were_sent(
    compiled_models: CompiledModels, tmp_path: Path, seed: int
) -> None:
    """Over loads, snapshots and plans: what was sent and is pending, mapped and stitched."""
    rng = random.Random(seed)
    world = LyticsWorld(compiled_models, tmp_path)
    load_events(world.connection, settling_events(), load_id=1)
    for step in range(3):
        world.at(NOW + timedelta(days=step))
        events = random_events(rng, 60, start=NOW + timedelta(days=step - 2))
        load_events(world.connection, events, load_id=step + 2)
        for cohort_id, name in (("c1", "Cart Drop off"), ("c2", "Power: Users")):
            computed = world.now - timedelta(hours=rng.randrange(1, 4))
            load_cohort(world.connection, cohort_id, name, computed, _cohort_rows(rng))
        world.build()
        expected = profiles_of(world.sent + world.pending(), field_map())
        assert sorted(map(_text, world.profiles().values())) == sorted(
            map(_text, expected.values())
        )
        world.send()


def test_an_event_is_counted_and_sent_once_whatever_is_loaded_again(
    compiled_models: CompiledModels, tmp_path: Path
) -> None:
    """A retry, an earlier copy that arrives late, and an event of ours change no count."""
    world = LyticsWorld(compiled_models, tmp_path)
    first, *_ = settling_events()
    load_events(world.connection, [first], load_id=1)
    world.build()
    world.send()
    changes: list[dict[str, Any]] = [
        {"server_upload_time": "2026-02-01 09:00:00"},
        {"server_upload_time": "2026-02-01 00:00:00", "event_type": "Signed up earlier"},
        {"$insert_id": "relay:moengage:1"},
        {"$insert_id": "other", "event_properties": {"$source": "MOENGAGE"}},
    ]
    copies = [
        {**first, "uuid": f"00000000-0000-4000-8000-00000000000{number}", **changed}
        for number, changed in enumerate(changes, start=1)
    ]
    load_events(world.connection, copies, load_id=2)
    world.at(NOW + timedelta(hours=1))
    world.build()
    (profile,) = world.profiles().values()
    assert profile["amplitude_events"] == {"Signed Up": 1}
    assert world.pending() == []


def test_who_left_is_false_under_the_key_that_was_sent(
    compiled_models: CompiledModels, tmp_path: Path
) -> None:
    """A removal is an explicit false, with the key alone and no profile columns."""
    world = LyticsWorld(compiled_models, tmp_path)
    load_events(world.connection, settling_events(), load_id=1)
    members = [(1, "ann", {"city": "Graz"}), (3, "Bo ✓", {"city": "Linz"})]
    load_cohort(world.connection, "c1", "Cart", NOW - timedelta(hours=2), members)
    world.build()
    world.send()
    world.at(NOW + timedelta(days=1))
    load_cohort(world.connection, "c1", "Cart", NOW + timedelta(hours=2), members[:1])
    world.build()
    (row,) = world.pending()
    assert row.values == {
        "amplitude_id": "3",
        "cohort_id": "c1",
        "cohort_name": "Cart",
        "cohort_membership": False,
        "last_computed": "2026-03-01T14:00:00Z",
        "synced_at": "2026-03-02T12:00:00Z",
    }
    by_user = {one.get("amplitude_user_id"): one for one in world.profiles().values()}
    assert by_user["Bo ✓"]["amplitude_cohort_ids"] == {"c1": False}
    assert by_user["Bo ✓"]["city"] == "Linz"
    assert by_user["ann"]["amplitude_cohort_names"] == {"Cart": True}


def test_a_member_whose_fields_moved_is_sent_again_once(
    compiled_models: CompiledModels, tmp_path: Path
) -> None:
    """A moved field is a refreshed row; a newer computation with the same fields is nothing."""
    world = LyticsWorld(compiled_models, tmp_path)
    load_events(world.connection, settling_events(), load_id=1)

    def plan(day: int, city: str, tags: str) -> list[dict[str, Any]]:
        world.at(NOW + timedelta(days=day))
        members = [(1, "ann", {"city": city, "tags": tags}), (3, "Bo ✓", {"city": "Linz"})]
        load_cohort(world.connection, "c1", "Cart", world.now - timedelta(hours=1), members)
        world.build()
        rows = [dict(row.values) for row in world.pending()]
        actions = world.connection.execute(
            "select action from payloads.lytics_cohorts order by position"
        ).fetchall()
        world.send()
        return [{"action": action, **row} for (action,), row in zip(actions, rows, strict=False)]

    assert [row["action"] for row in plan(0, "Graz", "a")] == ["added", "added"]
    assert plan(1, "Graz", "a") == []
    (row,) = plan(2, "Wien", "a")
    assert (row["action"], row["amplitude_id"], row["city"]) == ("refreshed", "1", "Wien")
    assert row["cohort_membership"] is True
    # Nothing is mapped from `tags`.
    assert plan(3, "Wien", "b") == []
