"""The default world: the shape of its rows, the cases in them, and the same bytes each time."""

import hashlib
import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from relay.rehearsal.rows import row_line
from relay.rehearsal.script import Script, Visit
from relay.rehearsal.world import World

Rows = list[tuple[datetime, dict[str, Any]]]


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def rows(world: World) -> Rows:
    return [(hour, row) for hour, rows in world.at(3).events() for row in rows]


def test_the_default_world_is_small_and_full(world: World, rows: Rows) -> None:
    assert 5_000 < len(rows) < 8_000
    sizes = {cohort.name: cohort.listing["size"] for cohort in world.at(1).cohorts()}
    assert 60 <= sizes["Cart Drop off"] <= 120
    assert sizes["Loyal ☕ shoppers"] >= 60
    assert sizes["New in town"] is None
    assert [cohort.listing["lastComputed"] for cohort in world.at(1).cohorts()][-1] is None


def test_every_row_has_the_55_keys_in_ascii_order(rows: Rows) -> None:
    keys = list(rows[0][1])
    assert len(keys) == 55
    assert keys == sorted(keys)
    assert all(list(row) == keys for _, row in rows)


def test_rows_stand_under_the_hour_of_their_upload(rows: Rows) -> None:
    for hour, row in rows:
        assert row["server_upload_time"].startswith(f"{hour:%Y-%m-%d %H}:")
        assert len(row["server_upload_time"]) == len("2026-06-16 11:05:03.120000")


def test_the_cases_are_there(rows: Rows) -> None:
    only = [row for _, row in rows]
    by_uuid = Counter(row["uuid"] for row in only)
    assert 2 in by_uuid.values()
    assert len({row_line(row) for row in only}) == len(by_uuid)
    once = {row["uuid"]: row for row in only}.values()
    assert max(Counter((row["device_id"], row["$insert_id"]) for row in once).values()) == 2
    assert any(row["event_time"] is None for row in once)
    assert any((row["event_time"] or "") > "2090" for row in once)
    assert any((row["event_time"] or "~") < "1970" for row in once)
    late = [row for row in once if "2026" < (row["event_time"] or "") < "2026-06-15"]
    assert late
    assert {"null", "undefined"} <= {row["user_id"] for row in once}
    assert any(row["session_id"] == -1 and row["device_brand"] is None for row in once)
    assert any(row["event_type"] == "$identify" for row in once)
    assert any(row["client_event_time"] > row["server_upload_time"] for row in once)
    text = "".join(row_line(row) for row in once)
    for part in ("☕", "抹茶", "قهوة", "\\n", "\\t", '\\"'):
        assert part in text
    assert "\\u" not in text
    assert not any(str(row["$insert_id"]).startswith("relay:") for row in once)


def test_event_time_is_the_device_time_corrected_by_a_clock_that_is_off(rows: Rows) -> None:
    corrected = 0
    for _, row in rows:
        if row["event_time"] is None or not "2026" < row["event_time"] < "2027":
            continue
        event, client, sent, received = (
            datetime.fromisoformat(row[key]).timestamp()
            for key in (
                "event_time",
                "client_event_time",
                "client_upload_time",
                "server_received_time",
            )
        )
        off = received - sent
        assert event == pytest.approx(client + (off if abs(off) >= 60 else 0), abs=0.0015)
        corrected += abs(off) >= 60
    assert corrected


def test_one_seed_gives_the_same_bytes_and_another_does_not() -> None:
    def digest(other: World) -> str:
        moment = other.at(2)
        content = [moment.archive(datetime(2026, 6, 15, tzinfo=UTC), moment.now)]
        content += [cohort.csv for cohort in moment.cohorts()]
        content += [content for _, content in moment.merge_files()]
        content += [content for _, content in moment.moengage_files()]
        content += [content for _, content in moment.clevertap_files()]
        return hashlib.sha256(b"".join(content)).hexdigest()

    def small(seed: int) -> World:
        return World(people=160, days=3, events_per_person=4, seed=seed)

    assert digest(small(7)) == digest(small(7))
    assert digest(small(7)) != digest(small(8))


def test_a_later_step_only_adds_to_the_export() -> None:
    world = World(people=160, days=3, events_per_person=4)
    first = [line for hour in world.at(1).hours() for line in hour.lines]
    second = [line for hour in world.at(2).hours() for line in hour.lines]
    added = [line for hour in world.at(2).hours(world.at(1).now) for line in hour.lines]
    assert second == first + added
    assert added


def test_the_export_api_serves_all_of_a_step_at_its_clock(world: World, rows: Rows) -> None:
    hours = {hour for hour, _ in rows}
    for step in (1, 2, 3):
        now = world.at(step).now
        newest = max(hour for hour in hours if hour < now)
        assert (now - newest).total_seconds() >= 3 * 3600


def test_merges_are_delivered_with_the_step_they_happened_in(world: World) -> None:
    first, second = world.at(1), world.at(2)
    assert len(first.merges) < len(second.merges)
    delivered = dict(first.merge_files()) | dict(second.merge_files(first.now))
    assert delivered == dict(second.merge_files())


def test_the_guard_has_something_to_guard(world: World) -> None:
    for cohort_id, step, is_held in (
        ("1638361188", 2, False),
        ("1638361188", 3, False),
        ("k7w2m9xq", 2, False),
        ("k7w2m9xq", 3, True),
    ):
        confirmed = len(world.at(step - 1).truth(cohort_id).keys)
        removed = len(world.at(step).diff(cohort_id).removed)
        assert confirmed >= 50
        assert (removed / confirmed > 0.3) is is_held


def test_the_cart_cohort_shows_every_reason(world: World) -> None:
    diff = world.at(2).diff("1638361188")
    assert {change.reason for change in diff.removed} == {"left_cohort", "rekeyed", "person_gone"}
    assert {change.reason for change in diff.added} == {"entered", "rekeyed"}
    assert diff.reasserted
    truth = world.at(1).truth("1638361188")
    assert truth.unidentifiable
    assert {person.status for person in truth.persons} == {"ok", "no_key", "invalid_key"}
    assert max(person.rows for person in truth.persons) > 1
    moengage = world.at(1).truth("1638361188", destination="moengage")
    details = {person.detail for person in moengage.persons}
    assert {"unknown_user", "anonymous_only", "no_identifier"} <= details


def test_a_clevertap_identity_is_a_key_where_the_sync_asks_for_it(world: World) -> None:
    cohort_id, sources = "1638361188", ("CleverTap_Identity", "user_id")
    plain = world.at(1).truth(cohort_id).keys
    mapped = world.at(1).truth(cohort_id, sources).keys
    assert any(value.startswith("CT-") for value in mapped.values())
    assert len(plain) == len(mapped)
    person = next(one.number for one in world.script.people if one.role == "reidentified")
    old, new = f"ct-{person:06d}", f"ct-{person:06d}-b"
    diff = world.at(2).diff(cohort_id, sources)
    assert (old, "rekeyed") in {(one.key.match_key, one.reason) for one in diff.removed}
    assert (new, "rekeyed") in {(one.key.match_key, one.reason) for one in diff.added}
    unmapped = world.at(2).diff(cohort_id)
    assert not {old, new} & {one.key.match_key for one in (*unmapped.added, *unmapped.removed)}


def test_a_world_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 160 people and 3 days"):
        World(people=20)
    with pytest.raises(ValueError, match="steps 1 to 3"):
        World(people=160).at(4)
    with pytest.raises(ValueError, match="person 1, number 2"):
        Script(1, (), [], [], [Visit(1, 2, "d", None, 0, 0, 1)] * 2, [])


def test_rows_survive_json(rows: Rows) -> None:
    for _, row in rows[:200]:
        assert json.loads(row_line(row)) == row
