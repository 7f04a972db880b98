"""Engagement files say what the expectation says, doubles and all."""

import gzip
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from relay.rehearsal.engagement import Engagement
from relay.rehearsal.world import World


@pytest.fixture(scope="module")
def world() -> World:
    return World(people=240)


def by_id(events: list[Engagement]) -> dict[str, Engagement]:
    return {event.event_id: event for event in events}


def test_streams_bodies_hold_each_event_and_the_first_batch_twice(world: World) -> None:
    moment = world.at(1)
    expected = by_id(moment.engagements("moengage"))
    files = dict(moment.moengage_files())
    bodies = [json.loads(content) for name, content in files.items() if name.startswith("streams")]
    assert bodies[0] == bodies[-1]
    assert all(0 < len(body["events"]) <= 100 for body in bodies)
    told: dict[str, Any] = {
        event["event_uuid"]: event for body in bodies for event in body["events"]
    }
    assert told.keys() == expected.keys()
    for event_uuid, event in told.items():
        assert event["uid"] == expected[event_uuid].identity
        assert event["user_attributes"].get("moe_anonymous_id") == expected[event_uuid].device
        assert event["event_time"] == expected[event_uuid].at.timestamp()
    (export,) = (content for name, content in files.items() if name.endswith(".gz"))
    lines = [json.loads(line)["event"] for line in gzip.decompress(export).splitlines()]
    assert {event["event_uuid"]: event for event in lines} == told


def test_clevertap_files_hold_each_event_as_often_as_it_happened(world: World) -> None:
    moment = world.at(2)
    expected = Counter[tuple[str, str | None, str | None, str]]()
    for event in moment.engagements("clevertap"):
        at = event.at.strftime("%Y%m%d%H%M%S")
        expected[event.event_name, event.identity, event.device, at] += event.count
    told = Counter[tuple[str, str | None, str | None, str]]()
    for name, content in moment.clevertap_files():
        first, *lines = gzip.decompress(content).decode().splitlines()
        assert f"-{first.replace(' ', '-')}-" in name
        in_file = Counter(
            (
                first,
                row["profile"].get("identity"),
                row["profile"].get("objectId"),
                str(row["ts"]),
            )
            for row in map(json.loads, lines)
        )
        told |= in_file  # an event happened as often as any one file says
    assert told == expected
    assert max(told.values()) > 1


def test_ts_is_written_in_the_zone_of_the_project(world: World) -> None:
    def first_ts(time_zone: str) -> datetime:
        _, content = next(iter(world.at(1).clevertap_files(time_zone)))
        row = json.loads(gzip.decompress(content).splitlines()[1])
        return datetime.strptime(str(row["ts"]), "%Y%m%d%H%M%S").replace(tzinfo=UTC)

    assert first_ts("Asia/Kolkata") - first_ts("UTC") == timedelta(hours=5, minutes=30)


@pytest.mark.parametrize("vendor", ["moengage", "clevertap"])
def test_the_expected_ids_cover_the_rules(world: World, vendor: str) -> None:
    events = world.at(1).engagements("moengage" if vendor == "moengage" else "clevertap")
    assert any(event.is_dropped for event in events)
    assert any(event.identity == "null" and event.device_id for event in events)
    assert all(event.user_id != "bo" for event in events)
    assert any(event.user_id is None and event.device_id for event in events)
    if vendor == "clevertap":
        assert any(event.user_id and event.user_id != event.identity for event in events)
        assert any((event.device or "").startswith("__h") for event in events)


def test_the_moengage_directory_only_grows(world: World) -> None:
    before, after = (
        world.at(step).known_users("moengage").decode().splitlines() for step in (1, 2)
    )
    assert before[0] == "uid,moe_anonymous_id"
    assert not Counter(before) - Counter(after)
    assert len(after) > len(before)
