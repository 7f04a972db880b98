"""The maps of engagement events: what they give, row by row; without any one row it is not given.

The expected outputs stand in tests/python/expected/engagement/. They were checked against the
vendors' pages; a changed map is a changed file there.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from compiled import CompiledModels
from engagement.world import PROJECT, World

EXPECTED = PROJECT / "tests" / "python" / "expected" / "engagement"
SYNCS = """
version: 1
event_exports:
  - {name: clevertap-all, source: clevertap, events: all}
  - {name: clevertap-engagement, source: clevertap}
  - {name: moengage-all, source: moengage, events: all}
  - {name: moengage-engagement, source: moengage}
"""
TS = 20260301120000

# What each output is made of: a query on views, so that it follows its seeds by itself.
OUTPUTS = {
    "moengage_events.csv": (
        "select sync_name, event_id[16:] as event, event_type, event_kind, channel"
        " from events.export_events where source = 'moengage' and event_id like '%code:%'"
    ),
    "clevertap_events.csv": (
        "select sync_name, event_type, count(*) as events from events.export_events"
        " where source = 'clevertap' group by all"
    ),
    "moengage_properties.csv": (
        "select event_id[16:] as event, property, property_value from events.moengage_properties"
        " where event_id not like '%code:%'"
        " and (property not like 'moe_event_%' or event_id like '%:property 1')"
    ),
    "clevertap_properties.csv": (
        "select event_type, property, property_value from events.clevertap_properties"
        " inner join events.engagement using (event_id)"
        " where event_type = 'Properties' and property != 'ct_event_name'"
    ),
}
OUTPUT_OF_SEED = {
    "moengage_event_map": "moengage_events.csv",
    "clevertap_engagement_events": "clevertap_events.csv",
    "moengage_property_map": "moengage_properties.csv",
    "moengage_campaign_values": "moengage_properties.csv",
    "clevertap_property_map": "clevertap_properties.csv",
}


@pytest.fixture(scope="module")
def world(compiled_models: CompiledModels, tmp_path_factory: pytest.TempPathFactory) -> World:
    """An event for every row of every map."""
    world = World(compiled_models, tmp_path_factory.mktemp("maps"), SYNCS)
    world.moengage(*_events_of_codes(world), *_events_of_properties())
    for name in _clevertap_names(world):
        world.clevertap(name, {"ts": TS, "profile": {"identity": "ann-1"}})
    world.clevertap("Properties", *_rows_of_properties())
    world.build(("events__clevertap_properties", "events__moengage_properties"))
    return world


def _events_of_codes(world: World) -> Iterator[dict[str, object]]:
    """One event per row, named as nothing of the map where the row does not ask for a name."""
    rows = world.rows(
        "select source_event_code, source_event_name from seeds.moengage_event_map order by all"
    )
    for code, name in rows:
        yield {
            "event_uuid": f"code:{code}{'' if name is None else f'/{name}'}",
            "event_code": f" {code.swapcase()}",
            "event_name": f"as it came: {code}" if name is None else name.upper(),
        }


def _events_of_properties() -> Iterator[dict[str, object]]:
    campaign = {
        "campaignId": "c-1",
        "CAMPAIGN_NAME": "Spring",
        "campaignType": "Event Trigger",
        "Campaign Channel": "PUSH",
        "moe_campaign_channel": "lost",
        "parentFlowId": "f-1",
        "parent-flow-name": "Flow",
        "variationId": "2",
        "localeId": "l-1",
        "localeName": "de",
        "parentCampaignId": "p-1",
    }
    feed = {
        "moe_campaign_channel": "email",
        "moe_f_pid": "f-2",
        "moe_f_pname": "Flow two",
        "moe_c_pid": "p-2",
        "moe_locale_id": "l-2",
        "moe_locale_name": "fr",
        "moe_variation_id": "3",
        "anything_else": [1],
    }
    own = {"email_id": "a@b.example", "push_id": "p-77", "mobile_number": "+4512345678"}
    user = {"moengage_user_id": "m-1", "u_em": "private@mail.example"}
    yield {
        "event_uuid": "property 1",
        "event_attributes": campaign,
        "user_attributes": user,
        **own,
    }
    yield {
        "event_uuid": "property 2",
        "event_attributes": feed,
        "email_address": "c@d.example",
        "user_attributes": {"u_em": "private@mail.example"},
    }
    for kind in ("GENERAL", "periodic", "ACTIVE", "one_time", "Event-Trigger", "Brand new"):
        yield {"event_uuid": f"type {kind}", "event_attributes": {"campaign_type": kind}}
    for channel in ("SMS", "sms", "Pigeon"):
        yield {"event_uuid": f"on {channel}", "event_attributes": {"campaign_channel": channel}}


def _clevertap_names(world: World) -> Iterator[str]:
    for (name,) in world.rows("select source_event_name from seeds.clevertap_engagement_events"):
        yield name.lower().replace(" ", "-")
    # The spellings of CleverTap's other pages.
    yield from ("A/B Experiment Rendered", "A/B Experiment Stopped", "A/B Experiment Rolled Out")
    yield from ("GeoCluster Entered", "GeoCluster Exited", "Charged")


def _rows_of_properties() -> Iterator[dict[str, object]]:
    first = {
        "Campaign ID": "12_20260301",
        "wzrk_id": "lost",
        "Campaign name": "Spring",
        "Campaigntype": "Push",
        "Campaign labels": "a,b",
        "Journey Id": 7,
        "Journey name": "Way",
        "Variant": "B",
        "wzrk_pivot": "lost",
        "CTSource": "Mobile",
        "CTLatitude": 1.5,
        "CT Longitude": 2,
        "CTAppVersion": "1.2",
        "CT Session Id": 99,
        "wzrk_cid": "channel",
    }
    second = {"wzrk_id": "13_1772366400", "wzrk_pivot": "C"}
    for number, properties in enumerate((first, second)):
        yield {"ts": TS + number, "profile": {"identity": "ann-1"}, "eventProps": properties}


def output(world: World, name: str) -> str:
    """One output as CSV text."""
    rows = world.rows(f"select * from ({OUTPUTS[name]}) order by all")
    return "".join(",".join("" if v is None else str(v) for v in row) + "\n" for row in rows)


@contextmanager
def undone(world: World) -> Iterator[None]:
    """What the block changes is taken back."""
    world.connection.execute("begin")
    try:
        yield
    finally:
        world.connection.execute("rollback")


@pytest.mark.parametrize("name", OUTPUTS)
def test_the_maps_give_what_is_expected(world: World, name: str) -> None:
    assert output(world, name) == (EXPECTED / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("seed", OUTPUT_OF_SEED)
def test_without_any_one_row_the_expected_output_is_not_given(world: World, seed: str) -> None:
    name = OUTPUT_OF_SEED[seed]
    expected = (EXPECTED / name).read_text(encoding="utf-8")
    rows = world.rows(f"select rowid, * from seeds.{seed}")
    for rowid, *row in rows:
        with undone(world):
            world.connection.execute(f"delete from seeds.{seed} where rowid = ?", [rowid])
            assert output(world, name) != expected, f"{seed} does not miss {row}"
    assert output(world, name) == expected


def test_the_page_has_each_event_once(world: World) -> None:
    by_origin = Counter(
        origin for (origin,) in world.rows("select origin from seeds.moengage_event_map")
    )
    assert by_origin["page"] == 44
    # The aliases lead to events of the page; nothing else is an engagement event.
    assert world.rows(
        "select count(*) from seeds.moengage_event_map"
        " where is_engagement != (target_event_type in"
        " (select target_event_type from seeds.moengage_event_map where origin = 'page'))"
    ) == [(0,)]
    assert world.rows(
        "select count(*), count(distinct source_event_name) from seeds.clevertap_engagement_events"
    ) == [(20, 20)]


def test_no_two_rows_of_a_map_meet_one_event(world: World) -> None:
    key = "regexp_replace(lower({}), '[\\s_./-]+', '', 'g')"
    code, name = key.format("source_event_code"), key.format("coalesce(source_event_name, '')")
    assert (
        world.rows(
            f"select {code}, {name} from seeds.moengage_event_map group by all having count(*) > 1"
        )
        == []
    )


def test_the_emails_that_slipped_on_the_page_are_described_by_their_names() -> None:
    text = Path(PROJECT / "seeds" / "mappings" / "moengage_event_map.csv").read_text()
    described = {line.split(",")[2]: line for line in text.splitlines() if "MOE_EMAIL_" in line}
    for event, word in {
        "Email Opened": "opened",
        "Email Clicked": "clicked",
        "Email Bounced": "for good",
        "Email Soft Bounced": "temporary",
        "Email Dropped": "not sent",
        "Email Unsubscribed": "unsubscribed from",
        "Email Spam Complained": "marked",
    }.items():
        assert word in described[event]
