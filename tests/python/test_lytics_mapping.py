"""The seed `lytics_field_map`: its grammar, its expressions, and that every row of it counts."""

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from compiled import CompiledModels
from lytics_oracle import FIELD_MAP, field_map
from lytics_world import NOW, SYNCS, LyticsWorld, load_cohort, load_events
from relay.config import EventImport

EXPECTED = Path(__file__).parent / "expected"
MAPPING_MODELS = (
    "fields__lytics_mappings",
    "fields__lytics_event_imports",
    "fields__lytics_event_values",
    "fields__lytics_profile_sources",
    "payloads__lytics_user_profiles",
)
# Every column that the page maps, of one event and one member.
EVENT = {
    "$insert_id": "e4f1",
    "$schema": 12,
    "adid": "adid-1",
    "amplitude_attribution_ids": ["a", "b"],
    "amplitude_event_type": "session_start",
    "amplitude_id": 9_223_372_036_854_775_807,
    "app": 829528,
    "city": "Pune",
    "client_event_time": "2026-02-27 05:14:09.120001",
    "client_upload_time": "2026-02-27 05:14:10.004",
    "country": "India",
    "data": {"path": "/2/httpapi"},
    "device_brand": "Samsung",
    "device_carrier": "Airtel",
    "device_family": "Samsung Galaxy",
    "device_id": "d-1",
    "device_manufacturer": "Samsung",
    "device_model": "SM-G991B",
    "device_type": "Samsung Galaxy S21",
    "dma": "none",
    "event_id": 412,
    "event_properties": {"genre": "jazz", "cart": {"items": ["a", 1], "total": 4.25}},
    "event_time": "2026-02-27 05:14:09.12",
    "event_type": "Song Played",
    "group_properties": {"company": {"Acme": {"tier": "gold"}}},
    "idfa": "idfa-1",
    "ip_address": "203.0.113.7",
    "is_attribution_event": False,
    "language": "English",
    "library": "http/2.0",
    "location_lat": 18.52,
    "location_lng": 73.86,
    "os_name": "android",
    "os_version": "14",
    "paying": True,
    "platform": "Android",
    "processed_time": "2026-02-27 05:14:12.733",
    "region": "Maharashtra",
    "sample_rate": 0.5,
    "server_received_time": "2026-02-27 05:14:10.019",
    "server_upload_time": "2026-02-27 05:14:10.027",
    "session_id": 1772428440000,
    "start_version": "4.1.0",
    "user_creation_time": "2025-12-01 08:00:00",
    "user_id": "Zoë 🎧",
    "user_properties": {"plan": 'pro "plus"', "lines": "a\nb"},
    "uuid": "7c2f2b0a-15f6-41f1-9f53-0242ac120002",
    "version_name": "4.3.1",
}
MEMBER = {
    "carrier": "Vi",
    "city": "Graz",
    "country": "Austria",
    "device": "iPhone",
    "device_type": "Apple iPhone",
    "dma": "x",
    "language": "German",
    "library": "amplitude-swift/1",
    "os": "ios 17",
    "platform": "iOS",
    "region": "Styria",
    "start_version": "1.0",
    "version": "2.3",
}


def _one_of_everything(models: CompiledModels, folder: Path, *, additional: bool) -> LyticsWorld:
    """One person of events and one of a cohort, so that no stream hides the other's fields."""
    syncs = SYNCS + f"lytics: {{additional_fields: {'true' if additional else 'false'}}}\n"
    world = LyticsWorld(models, folder, syncs=syncs)
    load_events(world.connection, [EVENT], load_id=1)
    load_cohort(world.connection, "c1", "Cart ✓", NOW, [(5, "Ida", MEMBER)])
    world.build()
    return world


def _profiles(world: LyticsWorld) -> dict[str, Any]:
    found = world.profiles()
    return {str(one.get("amplitude_user_id", number)): one for number, one in found.items()}


@pytest.fixture(scope="module")
def everything(
    compiled_models: CompiledModels, tmp_path_factory: pytest.TempPathFactory
) -> LyticsWorld:
    return _one_of_everything(
        compiled_models, tmp_path_factory.mktemp("everything"), additional=True
    )


def test_the_seed_has_every_row_of_the_page() -> None:
    rows = field_map(additional=True)
    cohorts = [row for row in rows if row.stream == "amplitude_cohorts"]
    events = [row for row in rows if row.stream == "amplitude_events"]
    assert (len(cohorts), len(events)) == (19, 49)
    assert [row.target for row in rows if not row.is_active] == [
        "amplitude_server_received_time",
        "amplitude_processed_time",
        "amplitude_version_name",
        "amplitude_start_version",
        "amplitude_uuid",
        "amplitude_ip_address",
    ]


def test_an_import_that_is_kept_updated_runs_hourly() -> None:
    """The page says daily in one place and hourly in another; hourly satisfies both readers."""
    assert EventImport(name="i").frequency == "hourly"
    assert EventImport(name="i", keep_updated=False).frequency == "one_time"
    assert EventImport(name="i").backfill_days == 90


def test_the_profiles_are_the_expected_ones(everything: LyticsWorld) -> None:
    expected = json.loads((EXPECTED / "lytics_profiles.json").read_text(encoding="utf-8"))
    assert _profiles(everything) == expected


def test_rows_are_the_expected_bytes(compiled_models: CompiledModels, tmp_path: Path) -> None:
    """Additional fields off: they stand neither in the rows nor in the profiles."""
    world = _one_of_everything(compiled_models, tmp_path, additional=False)
    records = world.connection.execute(
        "select record from payloads.lytics_cohorts union all"
        " select record from payloads.lytics_events"
    ).fetchall()
    text = "".join(f"{record}\n" for (record,) in records)
    assert text == (EXPECTED / "lytics_rows.ndjson").read_text(encoding="utf-8")
    off = {row.target for row in field_map(additional=True) if not row.is_active}
    # The cohort stream has a start version of its own.
    off -= {"amplitude_start_version"}
    assert not off & set(_profiles(world)["Zoë 🎧"])


def test_without_any_one_row_of_the_mapping_the_profiles_are_others(
    everything: LyticsWorld,
) -> None:
    connection, models = everything.connection, everything.models
    expected = _profiles(everything)
    given = models.names - set(MAPPING_MODELS)
    unmissed = []
    for row in field_map(additional=True):
        connection.execute("begin")
        connection.execute(
            "delete from seeds.lytics_field_map where stream = ? and target_field = ?",
            [row.stream, row.target],
        )
        models.run(connection, MAPPING_MODELS, given=given)
        if _profiles(everything) == expected:
            unmissed.append(row)
        connection.execute("rollback")
    assert not unmissed
    assert _profiles(everything) == expected


@pytest.mark.parametrize(
    ("expression", "kind", "problem"),
    [
        ("upper(city)", "string", "not in the grammar"),
        ("map(city)", "map[string]bool", "not in the grammar"),
        ("map(city, region, os)", "map[string]bool", "not in the grammar"),
        ("two words", "string", "not in the grammar"),
        ("match(event_properties.)", "map[string]string", "not in the grammar"),
        ("", "string", "not in the grammar"),
        ("city", "text", "a target type is"),
        ("valuect(city)", "map[string]int", "go together"),
        ("map(city, region)", "string", "fill a map"),
        ("city", "map[string]string", "fill a map"),
        ("todate(city)", "string", "todate fills a date"),
        ('todate("Jan 2 2006", city)', "date", "a layout is made of"),
    ],
)
def test_what_is_not_in_the_grammar_stops_the_build(
    everything: LyticsWorld, expression: str, kind: str, problem: str
) -> None:
    """The message has the line, the expression, what is wrong, and the grammar."""
    connection = everything.connection
    connection.execute("begin")
    connection.execute(
        "insert into seeds.lytics_field_map values ('amplitude_events', 99, ?, 'mine', ?,"
        " false, true)",
        [expression, kind],
    )
    everything.models.run(
        connection,
        ["fields__lytics_mappings"],
        given=everything.models.names - {"fields__lytics_mappings"},
    )
    lines = len(FIELD_MAP.read_text(encoding="utf-8").splitlines())
    with pytest.raises(duckdb.InvalidInputException) as caught:
        connection.execute(everything.models.test("mapping_rows_are_in_the_grammar"))
    connection.execute("rollback")
    message = str(caught.value)
    assert f"line {lines + 1}, {expression} -> mine ({kind}): " in message
    assert problem in message
    assert 'Grammar: field | map(field, field) | todate(field) | todate("layout", field)' in message


@pytest.mark.parametrize(
    ("expression", "kind", "expected"),
    [
        ("`user_properties.plan`", "string", 'pro "plus"'),
        ("user_properties.plan", "string", 'pro "plus"'),
        ("map(platform, paying)", "map[string]bool", {"Android": True}),
        ("map(user_id, amplitude_id)", "map[string]string", {"Zoë 🎧": "9223372036854775807"}),
        (
            'match("event_properties.cart.")',
            "map[string]string",
            {"items": '["a",1]', "total": "4.25"},
        ),
        ("valuect(event_properties.genre)", "map[string]intsum", {"jazz": 1}),
        ('todate("2006-01-02 15:04:05.000", event_time)', "date", None),
        ('todate("2006-01-02 15:04:05.000000", event_time)', "date", "2026-02-27T05:14:09.120000Z"),
        ("todate(session_id)", "date", "2026-03-02T05:14:00.000000Z"),
        ("event_properties.cart.total", "number", 4.25),
        ("event_properties.cart.total", "int", None),
        ("city", "bool", None),
    ],
)
def test_a_row_more_is_a_mapping_more(
    everything: LyticsWorld, expression: str, kind: str, expected: Any
) -> None:
    connection, models = everything.connection, everything.models
    connection.execute("begin")
    connection.execute(
        "insert into seeds.lytics_field_map values ('amplitude_events', 99, ?, 'mine', ?,"
        " false, true)",
        [expression, kind],
    )
    models.run(connection, MAPPING_MODELS, given=models.names - set(MAPPING_MODELS))
    found = _profiles(everything)["Zoë 🎧"].get("mine")
    connection.execute(models.test("mapping_rows_are_in_the_grammar"))
    connection.execute("rollback")
    assert found == expected
