"""What the stream's rows keep of events, and what of them the newest events say."""

import json
from pathlib import Path
from typing import Any

from compiled import CompiledModels
from lytics_world import LyticsWorld, load_events


def _event(number: int, **values: Any) -> dict[str, Any]:
    return {
        "$insert_id": f"i{number}",
        "amplitude_id": 1,
        "app": 829528,
        "device_id": "d1",
        "user_id": "ann",
        "event_type": "Song",
        "event_time": f"2026-02-28 10:00:0{number}",
        "server_upload_time": f"2026-02-28 11:00:0{number}",
        "uuid": f"00000000-0000-4000-8000-00000000000{number}",
        **values,
    }


def test_properties_have_the_names_of_all_objects_around_them(
    compiled_models: CompiledModels, tmp_path: Path
) -> None:
    """However deep; of a name that comes about twice the one written out stays."""
    world = LyticsWorld(compiled_models, tmp_path)
    properties = {
        "flat": "{text with a brace",
        "a": {"b": {"c": {"d": {"e": {"f": [1, {"g": 2}]}}}}, "n": None, "empty": {}},
        "one": {"two": "nested", "three": {"four": "nested"}},
        "one.two": "written out",
        "one.three": {"four": "nearer"},
        "": "no name",
    }
    load_events(world.connection, [_event(1, event_properties=properties)], load_id=1)
    world.build()
    ((record,),) = world.connection.execute(
        "select record from payloads.lytics_events where key_type = 'event'"
    ).fetchall()
    found = {
        name.removeprefix("event_properties."): value
        for name, value in json.loads(record).items()
        if name.startswith("event_properties.")
    }
    assert found == {
        "flat": "{text with a brace",
        "a.b.c.d.e.f": '[1,{"g":2}]',
        "one.two": "written out",
        "one.three.four": "nearer",
    }


def test_the_newest_value_of_a_field_may_be_of_an_older_event(
    compiled_models: CompiledModels, tmp_path: Path
) -> None:
    """What the declared type cannot read, an empty column and an odd time leave the older value."""
    world = LyticsWorld(compiled_models, tmp_path)
    events = [
        _event(1, city="4.5", region="MH", user_creation_time="2025-12-01 08:00:00"),
        _event(2, city="Pune", region="", user_creation_time="12025-12-01 08:00:00"),
        _event(3, city=None, paying=False),
    ]
    for load_id, event in enumerate(reversed(events), start=1):
        load_events(world.connection, [event], load_id)
    world.connection.execute(
        "insert into seeds.lytics_field_map values"
        " ('amplitude_events', 98, 'city', 'city_number', 'number', false, true),"
        " ('amplitude_events', 99, 'map(city, region)', 'regions', 'map[string]string', false,"
        " true)"
    )
    world.build()
    (profile,) = world.profiles().values()
    assert (profile["city"], profile["city_number"]) == ("Pune", 4.5)
    assert (profile["region"], profile["amplitude_paying"]) == ("MH", False)
    assert profile["regions"] == {"4.5": "MH"}
    assert profile["amplitude_user_creation_time"] == "2025-12-01T08:00:00.000000Z"
    assert profile["amplitude_events"] == {"Song": 3}
    ((rows,),) = world.connection.execute(
        "select count(*) from fields.lytics_newest_rows"
    ).fetchall()
    assert rows == 3
