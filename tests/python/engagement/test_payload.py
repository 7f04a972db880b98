"""payloads.amplitude_events: ids as ID-21 says, properties as the pages say, nobody sent twice."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compiled import CompiledModels
from engagement.world import World

SYNCS = """
version: 1
event_exports:
  - {name: ct, source: clevertap, frequency: every_4_hours, start_date: 2026-01-01}
  - {name: moe, source: moengage, frequency: every_4_hours, start_date: 2026-01-01}
"""
TS = 20260301120000  # 06:30 UTC in Kolkata
Begin = Callable[[str], World]


@pytest.fixture
def begin(compiled_models: CompiledModels, tmp_path: Path) -> Begin:
    return lambda syncs: World(compiled_models, tmp_path / "home", syncs)


@pytest.fixture
def world(begin: Begin) -> World:
    return begin(SYNCS)


def addressed(world: World) -> dict[str, tuple[str | None, str | None, tuple[str, ...]]]:
    """User id, device id and notes of each waiting event, by the test's own mark of it."""
    return {
        event.rsplit(":", 1)[1]: (user, device, tuple(notes))
        for event, user, device, notes in world.rows(
            "select event_id, user_id, device_id, notes from events.addressed"
        )
    }


def dropped(world: World) -> dict[str, str]:
    rows = world.rows("select event_id, drop_reason from reports.dropped_events")
    return {event.rsplit(":", 1)[1]: reason for event, reason in rows}


def test_the_table_of_id_21_moengage(world: World) -> None:
    world.moengage(
        {
            "event_uuid": "both",
            "uid": "carla-01",
            "user_attributes": {"moe_anonymous_id": "anon-1"},
        },
        {"event_uuid": "junk", "uid": "null", "user_attributes": {"moe_anonymous_id": "anon-2"}},
        {"event_uuid": "short", "uid": "bo"},
        {"event_uuid": "neither", "uid": None},
        {"event_uuid": "all-junk", "uid": "N/A", "user_attributes": {"moe_anonymous_id": "0"}},
        {"event_uuid": "padded", "uid": " \tcarla-01 ", "user_attributes": {}},
        {"event_uuid": "number", "uid": 1234567, "user_attributes": {}},
        {
            "event_uuid": "long",
            "uid": "x" * 1025,
            "user_attributes": {"moe_anonymous_id": "anon-3"},
        },
        {"event_uuid": "longest", "uid": "x" * 1024},
        {"event_uuid": "case", "uid": "CARLA-01"},
    )
    world.build()
    assert addressed(world) == {
        "both": ("carla-01", "anon-1", ()),
        "junk": (None, "anon-2", ("user_id:blocked",)),
        "padded": ("carla-01", None, ()),
        "number": ("1234567", None, ()),
        "long": (None, "anon-3", ()),
        "longest": ("x" * 1024, None, ()),
        "case": ("CARLA-01", None, ()),
    }
    assert dropped(world) == {"short": "id_too_short", "neither": "no_id", "all-junk": "id_blocked"}


def seen(world: World, *rows: tuple[str, str | None, dict[str, str] | None]) -> None:
    """Amplitude has seen these: user id, device id, user properties."""
    world.amplitude(
        *(
            {
                "amplitude_id": 1000 + number,
                "user_id": user,
                "device_id": device,
                "user_properties": properties or {},
            }
            for number, (user, device, properties) in enumerate(rows)
        )
    )


def clevertap_ids(world: World, *profiles: dict[str, str]) -> list[tuple[Any, ...]]:
    """The ids that events of these CleverTap profiles are sent under, in order."""
    rows = [
        {"ts": TS + number, "profile": profile, "eventProps": {}}
        for number, profile in enumerate(profiles)
    ]
    world.clevertap("Notification Viewed", *rows)
    world.build()
    return [
        (user, device, *notes)
        for user, device, notes in world.rows(
            "select user_id, device_id, notes from events.addressed order by event_at"
        )
    ]


def test_the_table_of_id_21_clevertap(world: World) -> None:
    seen(world, ("Carla", "PAD-77", {"CleverTap_Identity": "crl-9"}))
    assert clevertap_ids(
        world,
        {"identity": "carla"},
        {"identity": "CRL-9", "objectId": "zzz-1"},
        {"objectId": "__hpad-77"},
    ) == [
        ("carla", None),
        ("Carla", "zzz-1", "user_id:restored"),
        (None, "PAD-77", "device_id:restored"),
    ]


def test_a_spelling_is_restored_only_where_one_person_is_meant(world: World) -> None:
    seen(
        world,
        ("Dora-1", "dev-1", None),
        ("Emil-1", "dev-2", None),
        ("EMIL-1", "dev-3", None),
        ("Fritz", "dev-4", {"CleverTap_Identity": "shared"}),
        ("Gerda", "dev-5", {"CleverTap_Identity": "Shared"}),
    )
    assert clevertap_ids(
        world,
        {"identity": "dora-1"},
        {"identity": "Emil-1"},
        {"identity": "emil-1"},
        {"identity": "SHARED"},
        {"identity": "nobody-1"},
        {"identity": "fritz"},
    ) == [
        ("Dora-1", None, "user_id:restored"),
        ("Emil-1", None),
        ("emil-1", None, "user_id:ambiguous"),
        ("SHARED", None, "user_id:ambiguous"),
        ("nobody-1", None),
        # Fritz goes by another identity there.
        ("fritz", None),
    ]


def test_a_stored_device_id_becomes_the_known_one(world: World) -> None:
    seen(
        world,
        ("user-1", "Tab-1", None),
        ("user-2", "TAB-2", None),
        ("user-3", "tab-2", None),
        ("user-4", "__hown-prefix", None),
    )
    assert clevertap_ids(
        world,
        {"objectId": "Tab-1"},
        {"objectId": "tAB-1"},
        {"objectId": "-htab-1"},
        {"objectId": "TAB-2"},
        {"objectId": "Tab-2"},
        {"objectId": "__htab-2"},
        {"objectId": "__hown-prefix"},
        {"objectId": "__gtab-1"},
    ) == [
        (None, "Tab-1"),
        (None, "Tab-1", "device_id:restored"),
        (None, "Tab-1", "device_id:restored"),
        (None, "TAB-2"),
        (None, "Tab-2"),
        (None, "tab-2", "device_id:restored"),
        (None, "__hown-prefix"),
        (None, "__gtab-1"),
    ]


def test_the_length_counts_after_the_spelling_is_restored(world: World) -> None:
    seen(world, ("Henriette", "dev-1", {"CleverTap_Identity": "h9"}))
    assert clevertap_ids(
        world, {"identity": "H9"}, {"identity": "x9"}, {"identity": "x9", "objectId": "__g-long"}
    ) == [
        ("Henriette", None, "user_id:restored"),
        (None, None, "user_id:too_short"),
        (None, "__g-long", "user_id:too_short"),
    ]
    assert list(dropped(world).values()) == ["id_too_short"]


def test_the_field_of_the_user_id_is_the_exports_choice(begin: Begin) -> None:
    world = begin(
        "version: 1\nevent_exports:\n"
        "  - {name: mail, source: clevertap, user_id_from: email, device_id_from: none}\n"
        "  - {name: phone, source: clevertap, user_id_from: phone}\n"
    )
    profile = {"identity": "ann", "email": "Ann@Mail.Example", "phone": 4512345678}
    world.clevertap("Reply Sent", {"ts": TS, "profile": {**profile, "objectId": "__g123"}})
    world.build()
    assert world.records("mail")[0].get("user_id") == "Ann@Mail.Example"
    assert "device_id" not in world.records("mail")[0]
    assert world.records("phone")[0]["user_id"] == "4512345678"
    assert world.records("phone")[0]["device_id"] == "__g123"


def test_the_minimum_length_is_a_setting_and_goes_with_the_request(begin: Begin) -> None:
    world = begin(SYNCS + "amplitude: {min_id_length: 2}\n")
    world.moengage({"event_uuid": "short", "uid": "bo"}, {"event_uuid": "one", "uid": "b"})
    world.build()
    assert [record["user_id"] for record in world.records("moe")] == ["bo"]
    assert world.rows("select distinct body_suffix from payloads.amplitude_events") == [
        ('],"options":{"min_id_length":2}}',)
    ]


def test_junk_of_ones_own_is_junk_here_too(begin: Begin, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "junk.csv").write_text(
        "id_type,match,pattern,origin,is_active\n"
        "clevertap_identity,exact,till-1,mine,true\n"
        "moe_anonymous_id,regex,web-.*,mine,true\n"
        "user_id,exact,guest,mine,true\n"
    )
    world = begin(SYNCS + "identity: {junk_ids: junk.csv}\n")
    world.clevertap("Reply Sent", {"ts": TS, "profile": {"identity": "Till-1"}})
    web = {"moe_anonymous_id": "WEB-123"}
    world.moengage(
        {"event_uuid": "web", "uid": "guest", "user_attributes": web},
        {"event_uuid": "till", "uid": "till-1"},
    )
    world.build()
    assert sorted(dropped(world).values()) == ["id_blocked", "id_blocked"]
    # What is junk as CleverTap's identity may well be a user of MoEngage's.
    assert addressed(world) == {"till": ("till-1", None, ())}


def test_a_record_is_what_amplitude_takes(world: World) -> None:
    world.moengage(
        {
            "event_uuid": "9c5a",
            "uid": "cust-0001",
            "event_time": 1772366400.25,
            "email_id": "ann@mail.example",
            "event_attributes": {
                "campaign_id": "c-1",
                "campaign_name": 'Käufer "zurück"\n🛒',
                "campaign_type": "GENERAL",
                "campaign_channel": "EMAIL",
                "parent_flow_id": "f-1",
                "parent_flow_name": "Flow",
                "variation_id": 2,
                "locale_id": "l-1",
                "locale_name": "de",
                "$source": "nobody",
                "price": 12345678901234567890,
                "nothing": None,
            },
            "user_attributes": {"moengage_user_id": "m-1", "u_em": "private@mail.example"},
        }
    )
    world.build()
    ((record,),) = world.rows("select record from payloads.amplitude_events")
    assert record == (
        '{"user_id":"cust-0001","event_type":"Email Sent","time":1772366400250,"event_properties":'
        '{"$source":"MOENGAGE","campaign_channel":"Email","campaign_id":"c-1",'
        '"campaign_name":"Käufer \\"zurück\\"\\n🛒","campaign_type":"General","locale_id":"l-1",'
        '"locale_name":"de","moe_channel":"Email","moe_email_id":"ann@mail.example",'
        '"moe_event_code":"MOE_EMAIL_SENT","moe_event_kind":"delivery",'
        '"moe_event_name":"Email Sent","moengage_user_id":"m-1","parent_flow_id":"f-1",'
        '"parent_flow_name":"Flow","price":12345678901234567890,"variation_id":2},'
        '"insert_id":"relay:moengage:9c5a"}'
    )
    ((prefix, suffix),) = world.rows(
        "select body_prefix, body_suffix from payloads.amplitude_events"
    )
    assert json.loads(prefix + record + suffix)["options"] == {"min_id_length": 5}


def test_a_clevertap_record_has_its_source_and_its_own_properties(world: World) -> None:
    world.clevertap(
        "notification-clicked",
        {
            "ts": TS,
            "profile": {"identity": "ann-1", "objectId": "__g77", "email": "a@b.example"},
            "eventProps": {"wzrk_id": "12_20260301", "CT Source": "Mobile", "wzrk_dl": "app://x"},
            "sessionProps": {"utm_source": "mail"},
            "controlGroupName": "ten percent",
        },
    )
    world.build()
    ((change_id,),) = world.rows("select change_id from payloads.amplitude_events")
    assert world.records("ct") == [
        {
            "user_id": "ann-1",
            "device_id": "__g77",
            "event_type": "Notification Clicked",
            "time": 1772346600000,
            "event_properties": {
                "$source": "CLEVERTAP",
                "campaign_id": "12_20260301",
                "campaign_base_id": "12",
                "ct_source": "Mobile",
                "ct_event_name": "notification-clicked",
                "control_group_name": "ten percent",
                "utm_source": "mail",
                "wzrk_dl": "app://x",
            },
            "insert_id": change_id,
        }
    ]
    assert change_id.startswith("relay:clevertap:")
    assert change_id.endswith("-1")


def test_equal_events_are_several_with_ids_of_their_own(world: World) -> None:
    row = {"ts": TS, "profile": {"identity": "ann-1"}}
    world.clevertap("Reply Sent", row, row)
    world.build()
    ids = [record["insert_id"] for record in world.records("ct")]
    assert len(set(ids)) == 2
    assert {one.rpartition("-")[2] for one in ids} == {"1", "2"}


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"event_time": "noon"}, "no_time"),
        ({"event_time": 0}, "implausible_time"),
        ({"event_time": 4102444800}, "implausible_time"),
        ({"event_code": "X", "event_name": "$identify"}, "reserved_event_type"),
        ({"event_code": "X", "event_name": "[Amplitude] Revenue"}, "reserved_event_type"),
        ({"event_code": None, "event_name": " "}, "no_event_type"),
        ({"event_attributes": {"blob": "x" * 20_000_000}}, "too_large"),
    ],
)
def test_what_cannot_be_sent_is_listed_with_its_reason(
    begin: Begin, event: dict[str, Any], reason: str
) -> None:
    world = begin("version: 1\nevent_exports:\n  - {name: moe, source: moengage, events: all}\n")
    world.moengage({"event_uuid": "bad", **event}, {"event_uuid": "good"})
    world.build()
    assert dropped(world) == {"bad": reason}
    assert [record["insert_id"] for record in world.records("moe")] == ["relay:moengage:good"]


def test_history_leaves_todays_profile_alone(begin: Begin) -> None:
    world = begin(
        "version: 1\nevent_exports:\n"
        "  - {name: moe, source: moengage}\n"
        "  - {name: once, source: moengage, frequency: one_time,\n"
        "     from: 2026-02-01, to: 2026-03-02}\n"
    )
    week = 7 * 86_400
    loaded = 1772452800
    world.moengage(
        {"event_uuid": "fresh", "event_time": loaded - week},
        {"event_uuid": "old", "event_time": loaded - week - 1},
    )
    world.build()
    marks = {
        sync: {
            record["insert_id"][15:]: record.get("$skip_user_properties_sync")
            for record in world.records(sync)
        }
        for sync in ("moe", "once")
    }
    assert marks == {
        "moe": {"fresh": None, "old": True},
        "once": {"fresh": True, "old": True},
    }


@pytest.mark.parametrize(
    ("events", "sent"),
    [
        ("engagement", ["Email Sent"]),
        ("all", ["Bought", "Email Sent", "SMS Clicked"]),
        ("[sms clicked]", ["SMS Clicked"]),
        ("[MOE_EMAIL_SENT, Nothing]", ["Email Sent"]),
        ("[Bought it]", ["Bought"]),
    ],
)
def test_an_export_sends_what_it_selects(begin: Begin, events: str, sent: list[str]) -> None:
    world = begin(
        f"version: 1\nevent_exports:\n  - {{name: moe, source: moengage, events: {events}}}\n"
    )
    world.moengage(
        {"event_uuid": "1"},
        {"event_uuid": "2", "event_code": "MOE_SMS_CLICKED", "event_name": None},
        {"event_uuid": "3", "event_code": "BOUGHT_IT", "event_name": "Bought"},
    )
    world.build()
    assert sorted(record["event_type"] for record in world.records("moe")) == sent
    assert world.rows("select event_code, events_count from reports.unmapped") == [("BOUGHT_IT", 1)]


def test_days_are_the_sources_own(begin: Begin) -> None:
    world = begin(
        "version: 1\nevent_exports:\n"
        "  - {name: ct, source: clevertap, start_date: 2026-03-01}\n"
        "  - {name: once, source: clevertap, frequency: one_time,\n"
        "     from: 2026-02-28, to: 2026-02-28}\n"
    )
    world.clevertap(
        "Reply Sent",
        *(
            {"ts": ts, "profile": {"identity": f"user-{ts}"}}
            for ts in (20260227235959, 20260228000000, 20260228235959, 20260301000000)
        ),
    )
    world.build()
    assert [record["user_id"][5:] for record in world.records("ct")] == ["20260301000000"]
    assert [record["user_id"][5:] for record in world.records("once")] == [
        "20260228000000",
        "20260228235959",
    ]


def test_nobody_suppressed_is_in_an_event(begin: Begin, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "suppressed.csv").write_text(
        "id_type,id_value,match\n"
        "user_id,qa-.*,regex\n"
        "user_id,Ida-1,exact\n"
        "device_id,lab-phone,exact\n"
    )
    world = begin(SYNCS + "suppress: suppressed.csv\n")
    seen(
        world,
        ("Ida-1", "ida-phone", {"CleverTap_Identity": "ida@ct"}),
        ("Jo-123", "jo-phone", None),
    )
    world.clevertap(
        "Reply Sent",
        {"ts": TS, "profile": {"identity": "IDA@CT"}},
        {"ts": TS, "profile": {"identity": "ida-1"}},
        {"ts": TS, "profile": {"objectId": "__hida-phone"}},
        {"ts": TS, "profile": {"identity": "Jo-123", "objectId": "lab-phone"}},
        {"ts": TS, "profile": {"identity": "jo-123"}},
    )
    world.moengage({"event_uuid": "qa", "uid": "qa-007"}, {"event_uuid": "jo", "uid": "Jo-123"})
    world.build()
    # `ida-1` names nobody: Ida goes by another identity at CleverTap.
    assert sorted(r["user_id"] for r in world.records("ct")) == ["Jo-123", "ida-1"]
    assert [record["user_id"] for record in world.records("moe")] == ["Jo-123"]
    assert set(dropped(world).values()) == {"suppressed"}
    assert len(dropped(world)) == 4


def test_the_person_of_an_event_is_told(world: World) -> None:
    seen(world, ("Kim-01", "kim-phone", None))
    world.moengage(
        {"event_uuid": "user", "uid": "Kim-01"},
        {
            "event_uuid": "device",
            "uid": None,
            "user_attributes": {"moe_anonymous_id": "kim-phone"},
        },
        {"event_uuid": "stranger", "uid": "Lea-01"},
    )
    world.build()
    rows = world.rows(
        "select change_id, key_type, anchors from payloads.amplitude_events order by 1"
    )
    assert rows == [
        ("relay:moengage:device", "device_id", ["amplitude_id:default:1000"]),
        ("relay:moengage:stranger", "user_id", []),
        ("relay:moengage:user", "user_id", ["amplitude_id:default:1000"]),
    ]


def test_withdrawn_events_wait_unsent(world: World) -> None:
    world.clevertap("Reply Sent", {"ts": TS, "profile": {"identity": "ann-1"}})
    world.connection.execute("update raw.clevertap_events set is_withdrawn = true")
    world.build()
    assert world.records("ct") == []
    world.connection.execute("update raw.clevertap_events set is_withdrawn = false")
    world.build()
    assert len(world.records("ct")) == 1
