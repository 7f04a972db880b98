"""Every worked example of the identity rules through all models; docs/identity.md has the rules."""

from pathlib import Path
from typing import Any

import pytest

from identity_builds import IdentityBuilds
from identity_world import World, at, person_id_of, uuid_of


@pytest.fixture
def world(identity_builds: IdentityBuilds, tmp_path: Path) -> World:
    return World(identity_builds, tmp_path)


def people(*persons: str) -> set[frozenset[str]]:
    """`"111 112 Jo", "114"` as sets; a device is written `device_t-1`."""
    return {frozenset(one.replace("_", " ") for one in person.split()) for person in persons}


def anchor_of(world: World, id_type: str, value: str) -> str:
    found = world.rows(
        "select persons.anchor from identity.persons join identity.person_ids using (person_id)"
        f" where id_type = '{id_type}' and id_value = '{value}'"
    )
    assert len(found) == 1
    return str(found[0][0])


def key_of(world: World, sync: str, id_type: str, value: str) -> tuple[Any, ...]:
    """(status, detail, key type, value sent, match key) of the member with this identifier."""
    found = world.rows(
        "select status, detail, key_type, key_value, match_key from identity.keys"
        " join identity.person_ids using (person_id)"
        f" where sync_name = '{sync}' and id_type = '{id_type}' and id_value = '{value}'"
    )
    assert len(found) == 1
    return found[0]


def refused(world: World) -> set[tuple[str, str, str, str]]:
    return set(
        world.rows(
            "select link_class, left_id_value, right_id_value, reason from identity.links"
            " where decision = 'refused'"
        )
    )


def test_id_1_the_device_of_an_anonymous_member_comes_from_its_events(world: World) -> None:
    world.event(1, 41, None, "ipad-7")
    world.cohort("7", [(41, ""), (42, "")])
    world.sync("c", "7", "clevertap")
    world.build()
    assert key_of(world, "c", "amplitude_id", "41") == ("ok", None, "object_id", "ipad-7", "ipad-7")
    assert key_of(world, "c", "amplitude_id", "42") == (
        "no_key", "no_identifier", None, None, None,
    )  # fmt: skip


def test_id_2_a_row_counts_once_however_often_it_is_loaded(world: World) -> None:
    world.event(1, 50, "Nia", name="a1")
    world.event(1, 50, "Nia", name="a1")
    world.event(2, 50, None, name="a2")
    world.build()
    assert world.people() == people("50 Nia")
    assert world.rows("select row_count from identity.links") == [(1,)]


def test_id_2_of_two_versions_of_a_row_the_one_that_names_more_counts(world: World) -> None:
    world.event(1, 50, "Zed", name="a1")
    world.event(1, 50, "null", "d-1", name="a1")
    world.event(1, 50, "Nia", "d-1", name="a1")
    world.event(1, 50, "Ola", "d-1", name="a1")
    world.build()
    assert world.people() == people("50 Nia")


def test_id_2_an_old_snapshot_stays_evidence(world: World) -> None:
    world.cohort("7", [(51, "Pia")], 1)
    world.cohort("7", [(51, "")], 2)
    world.build()
    assert world.people() == people("51 Pia")
    assert world.rows("select row_count, first_seen_at, last_seen_at from identity.links") == [
        (1, at(1), at(1))
    ]


def test_id_2_a_member_of_three_snapshots_is_three_rows(world: World) -> None:
    world.cohort("7", [(51, "Pia")], 1)
    world.cohort("7", [(51, "Pia"), (51, " Pia")], 2)
    world.cohort("7", [(51, "Pia")], 3)
    world.build()
    assert world.rows("select row_count, first_seen_at, last_seen_at from identity.links") == [
        (3, at(1), at(3))
    ]


def test_id_2_what_was_sent_proves_nothing(world: World) -> None:
    world.event(1, 52, "Quo", insert_id="relay:moengage:1")
    world.event(2, 53, "Rex", event_properties={"$source": "CLEVERTAP"})
    world.event(3, 54, "Sam", event_properties={"$source": "web"})
    world.build()
    assert world.people() == people("54 Sam")


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("5521", "5521"),
        (" 5521 ", "5521"),
        ("05521", "05521"),
        ("5521.0", "5521.0"),
        ("Café", "Café"),
        ("Cafe\u0301", "Café"),
        ("\tCafé\u200b\ufeff", "Café"),
        ("café", "café"),
        ("ＡＢ", "ＡＢ"),
        ("a b", "a b"),
        (" \u3000\u00a0", None),
        ("x" * 1024, "x" * 1024),
        ("x" * 1025, None),
    ],
)
def test_id_3_cleaning(world: World, raw: str, cleaned: str | None) -> None:
    world.event(1, 55, raw)
    world.build()
    found = world.rows("select id_value from identity.person_ids where id_type = 'user_id'")
    assert found == ([] if cleaned is None else [(cleaned,)])


@pytest.mark.parametrize(
    ("value", "cleaned"),
    [
        (5521, "5521"),
        (5521.0, "5521"),
        (-3, "-3"),
        (12.5, None),
        (1e16, None),
        (True, None),
        (["a"], None),
        ({"a": 1}, None),
        (None, None),
        (" 007 ", "007"),
    ],
)
def test_id_3_a_property_is_cleaned_like_any_identifier(
    world: World, value: object, cleaned: str | None
) -> None:
    world.event(1, 55, "u", properties={"CleverTap_Identity": value})
    world.cohort("7", [(55, "u")])
    world.sync("c", "7", "clevertap", ["CleverTap_Identity"], [])
    world.build()
    assert key_of(world, "c", "user_id", "u")[3] == cleaned


def test_id_4_junk_is_missing_and_the_row_keeps_the_rest(world: World) -> None:
    world.event(1, 60, "Undefined", "b-1")
    world.event(1, 61, "undefined-7", "b-2")
    world.event(1, 62, " 0-0 ", "b-3")
    world.event(1, 63, "Bea", "unknown")
    world.event(1, 64, "GUEST", "02:00:00:00:00:00")
    world.junk("user_id", "exact", "guest")
    world.build()
    assert world.people() == people("60", "61 undefined-7", "62", "63 Bea", "64")
    assert {row[0] for row in world.rows("select device_id from identity.devices")} == {
        "b-1", "b-2", "b-3",
    }  # fmt: skip


def test_id_5_a_contaminated_amplitude_id_falls_back_to_its_devices(world: World) -> None:
    world.event(1, 640, "none", "t-1")
    world.event(2, 640, "none", "t-2")
    world.event(3, 641, "none", "t-3")
    world.build()
    assert world.people() == people("device_t-1", "device_t-2", "641")
    assert world.rows("select amplitude_id, devices_count from identity.contaminated_ids") == [
        (640, 2)
    ]


def test_id_5_a_contaminated_id_is_missing_in_merges_too(world: World) -> None:
    world.event(1, 640, "none", "t-1")
    world.event(2, 640, "none", "t-2")
    world.event(3, 642, None, "t-9")
    world.merge(642, 640)
    world.build()
    assert world.people() == people("device_t-1", "device_t-2", "642")


def test_id_6_identifiers_join_inside_one_namespace(world: World) -> None:
    world.namespace("3", "partner_org")
    world.event(1, 70, "u1", app=1)
    world.event(2, 70, "u1", app=2)
    world.event(3, 71, "u1", app=3)
    world.build()
    assert world.rows(
        "select namespace, list(id_value order by id_value) from identity.person_ids"
        " group by all order by all"
    ) == [("default", ["70", "u1"]), ("partner_org", ["71", "u1"])]
    assert len(world.people()) == 2


def test_id_7_a_merge_comes_before_a_device(world: World) -> None:
    world.event(1, 80, None, "c-1")
    world.event(2, 81, "Cleo", "c-1")
    world.event(3, 82, "Dan")
    world.merge(80, 82)
    world.build()
    assert world.people() == people("81 Cleo", "80 82 Dan")


def test_id_7_a_circle_opens_at_its_smallest_identifier(world: World) -> None:
    world.event(1, 12, None)
    world.merge(12, 9)
    world.merge(9, 11)
    world.merge(11, 12)
    world.merge(10, 12)
    world.build()
    assert world.people() == people("9 10 11 12")
    assert anchor_of(world, "amplitude_id", "12") == "amplitude_id:default:9"
    assert world.rows(
        "select left_id_value, decision from identity.links order by cast(left_id_value as int)"
    ) == [("9", "agrees"), ("10", "followed"), ("11", "followed"), ("12", "followed")]


def test_id_8_the_user_seen_first_keeps_the_amplitude_id(world: World) -> None:
    world.event(1, 90, "eli", "p-1")
    world.event(2, 90, "fae", "p-2")
    world.event(3, 90, None, "p-3")
    world.build()
    assert world.people() == people("90 eli", "fae")
    assert refused(world) == {("observed", "90", "fae", "other_user_first")}
    assert world.rows(
        "select primary_user_id, devices_count, flags from identity.persons order by 1"
    ) == [("eli", 2, ["refused_links"]), ("fae", 1, ["refused_links"])]


def test_id_8_flags(world: World) -> None:
    world.setting("flag_amplitude_ids_per_person", 2)
    world.setting("flag_devices_per_person", 1)
    for number in (91, 92, 93):
        world.event(1, number, "gil", f"p-{number % 2}")
    world.build()
    assert world.rows("select flags from identity.persons") == [
        (["many_amplitude_ids", "many_devices"],)
    ]


def test_id_9_merges_chain_through_ids_nobody_has_seen(world: World) -> None:
    world.event(1, 101, None, "g-1")
    world.event(2, 103, "Gus", "g-3")
    world.event(3, 106, None, "g-6")
    world.merge(101, 102)
    world.merge(102, 103)
    world.merge(106, 999)
    world.merge(500, 501)
    world.merge(106, 106)
    world.build()
    assert world.people() == people("101 102 103 Gus", "106 999")
    assert anchor_of(world, "amplitude_id", "101") == "amplitude_id:default:103"
    assert anchor_of(world, "amplitude_id", "106") == "amplitude_id:default:999"


def test_id_9_a_known_id_is_never_merged_away(world: World) -> None:
    world.event(1, 104, "Hal")
    world.event(2, 105, "Ivo")
    world.event(2, 107, "Ivo")
    world.merge(104, 105)
    world.merge(107, 105)
    world.build()
    assert world.people() == people("104 Hal", "105 107 Ivo")
    assert refused(world) == {("merged", "104", "105", "known_id")}
    assert world.rows(
        "select decision from identity.links where link_class = 'merged' and left_id_value = '107'"
    ) == [("agrees",)]


def test_id_9_of_several_merges_the_earliest_counts(world: World) -> None:
    for number in (108, 109, 110):
        world.event(1, number)
    world.merge(108, 110, 2)
    world.merge(108, 109, 3)
    world.build()
    assert world.people() == people("108 110", "109")
    assert refused(world) == {("merged", "108", "109", "earlier_merge")}


def test_id_10_the_first_known_user_after_an_anonymous_row(world: World) -> None:
    world.event(8, 111, None, "tab-1")
    world.event(9, 112, "Jo", "tab-1")
    world.event(10, 113, "Kit", "tab-1")
    world.event(11, 113, None, "tab-1")
    world.event(12, 114, None, "tab-1")
    world.cohort("7", [(114, "")])
    world.sync("c", "7", "clevertap")
    world.build()
    assert world.people() == people("111 112 Jo", "113 Kit", "114")
    assert key_of(world, "c", "amplitude_id", "114")[:2] == ("no_key", "device_owned_by_other")


def test_id_10_on_several_devices_the_earliest_sign_in_counts(world: World) -> None:
    world.event(1, 115, None, "x-1")
    world.event(2, 115, None, "x-2")
    world.event(5, 116, "Lou", "x-1")
    world.event(4, 117, "Max", "x-2")
    world.build()
    assert world.people() == people("115 117 Max", "116 Lou")


def test_id_10_ties_go_to_the_smaller_user_id(world: World) -> None:
    world.event(1, 115, None, "x-1")
    world.event(2, 116, "b", "x-1")
    world.event(2, 117, "a", "x-1")
    world.build()
    assert world.people() == people("115 117 a", "116 b")


def test_id_10_rows_without_a_time_come_last(world: World) -> None:
    world.event(None, 118, None, "x-3")
    world.event(2, 119, "Ned", "x-3")
    world.event(None, 120, "Oli", "x-3")
    world.build()
    assert world.people() == people("118 120 Oli", "119 Ned")


def test_id_10_a_device_alone_is_linked_as_an_amplitude_id_is(world: World) -> None:
    world.event(1, None, None, "x-4")
    world.event(2, 121, "Pat", "x-4")
    world.build()
    assert world.people() == people("device_x-4 121 Pat")


def test_id_10_a_shared_device_is_neither_evidence_nor_key(world: World) -> None:
    world.event(1, 130, None, "kiosk")
    for number in range(1, 7):
        world.event(1 + number, 130 + number, f"user-{number}", "kiosk")
    world.cohort("7", [(130, "")])
    world.sync("c", "7", "clevertap")
    world.build()
    assert people("130") <= world.people()
    assert key_of(world, "c", "amplitude_id", "130")[:2] == ("no_key", "device_shared")


def test_id_10_device_linking_can_be_off(world: World) -> None:
    world.setting("device_linking", "off")
    world.event(8, 111, None, "tab-1")
    world.event(9, 112, "Jo", "tab-1")
    world.build()
    assert world.people() == people("111", "112 Jo")


def test_id_11_link_joins_two_users(world: World) -> None:
    world.event(1, 121, "lea@old")
    world.event(2, 122, "lea")
    world.override("link", "user_id:lea@old", "user_id:lea")
    world.build()
    assert world.people() == people("121 122 lea lea@old")
    assert anchor_of(world, "amplitude_id", "121") == "amplitude_id:default:122"
    assert world.rows("select primary_user_id from identity.persons") == [("lea",)]


def test_id_11_an_amplitude_id_moved_leaves_the_rows_that_name_another_user(world: World) -> None:
    world.event(1, 126, "ann", "y-1")
    world.event(2, 126, None, "y-2")
    world.event(3, 127, "bob")
    world.override("link", "amplitude_id:126", "user_id:bob")
    world.build()
    assert world.people() == people("ann", "126 127 bob")
    assert refused(world) == {("observed", "126", "ann", "overridden")}
    assert world.rows("select primary_user_id, devices_count from identity.persons order by 1") == [
        ("ann", 1),
        ("bob", 1),
    ]


def test_id_11_separate_takes_two_apart(world: World) -> None:
    world.event(1, 123, None, "m-1")
    world.event(2, 124, "max", "m-1")
    world.override("separate", "amplitude_id:123", "user_id:max")
    world.build()
    assert world.people() == people("123", "124 max")
    assert refused(world) == {("device", "123", "max", "separated")}


def test_id_11_separate_cuts_the_right_one_where_it_leads_through_the_left_one(
    world: World,
) -> None:
    for number in (1, 2, 3, 4, 5):
        world.event(number, number)
    for number in (1, 2, 3, 4):
        world.merge(number, number + 1)
    world.override("separate", "amplitude_id:4", "amplitude_id:2")
    world.build()
    assert world.people() == people("1 2", "3 4 5")


def test_id_11_all_separations_are_judged_before_any_is_carried_out(world: World) -> None:
    for number in (1, 2, 3, 4, 5):
        world.event(number, number)
    for number in (1, 2, 3, 4):
        world.merge(number, number + 1)
    # Without the second one, 1 and 3 would be apart already.
    world.override("separate", "amplitude_id:1", "amplitude_id:3")
    world.override("separate", "amplitude_id:2", "amplitude_id:5")
    world.build()
    assert world.people() == people("1", "2", "3 4 5")


def test_id_11_the_suppressed_have_no_key_anywhere(world: World) -> None:
    world.suppress("user_id", "qa-.*", "regex")
    world.event(1, 125, "qa-7")
    world.event(1, 126, "QA-8")
    world.cohort("7", [(125, "qa-7"), (126, "QA-8")])
    for destination in ("clevertap", "moengage", "lytics"):
        world.sync(destination, "7", destination)
    world.build()
    for destination in ("clevertap", "moengage", "lytics"):
        assert key_of(world, destination, "user_id", "qa-7") == (
            "suppressed", None, None, None, None,
        )  # fmt: skip
        assert key_of(world, destination, "user_id", "QA-8")[0] == "ok"


def test_id_12_the_anchor_survives_what_is_merged_in(world: World) -> None:
    world.event(1, 131, "Nan2")
    world.build()
    assert world.rows("select anchor, person_id from identity.persons") == [
        ("amplitude_id:default:131", person_id_of("amplitude_id:default:131"))
    ]
    world.event(2, 7, None, "new")
    world.merge(7, 131, 3)
    world.build()
    assert world.people() == people("7 131 Nan2")
    assert anchor_of(world, "amplitude_id", "7") == "amplitude_id:default:131"
    world.event(4, 130, "Nan2")
    world.build()
    assert world.people() == people("7 130 131 Nan2")
    assert anchor_of(world, "amplitude_id", "7") == "amplitude_id:default:130"
    assert world.rows("select canonical_amplitude_id from identity.persons") == [("130",)]


def test_id_12_numbers_are_compared_as_numbers(world: World) -> None:
    world.event(1, 9, "Nan3")
    world.event(1, 10, "Nan3")
    world.build()
    assert anchor_of(world, "amplitude_id", "10") == "amplitude_id:default:9"


def test_id_13_a_split_gives_each_part_the_id_it_would_have_had(world: World) -> None:
    world.event(1, 141, None, "q-1")
    world.build()
    alone = anchor_of(world, "amplitude_id", "141")
    world.event(2, 142, "Pam", "q-1")
    world.build()
    assert world.people() == people("141 142 Pam")
    assert anchor_of(world, "amplitude_id", "141") == "amplitude_id:default:142"
    world.override("separate", "amplitude_id:141", "user_id:Pam")
    world.build()
    assert anchor_of(world, "user_id", "Pam") == "amplitude_id:default:142"
    assert anchor_of(world, "amplitude_id", "141") == alone == "amplitude_id:default:141"


def test_id_13_an_old_id_means_the_person_that_holds_its_anchor_now(world: World) -> None:
    def now(old_id: str) -> list[tuple[Any, ...]]:
        return world.rows(
            "select person_ids.person_id from identity.person_log as log join identity.person_ids"
            f" on log.anchor = person_ids.identifier where log.person_id = '{old_id}'"
        )

    alone, pam = (person_id_of(f"amplitude_id:default:{number}") for number in (141, 142))
    world.event(1, 141, None, "q-1")
    world.build()
    world.event(2, 142, "Pam", "q-1")
    world.build()
    assert now(alone) == now(pam) == [(pam,)]
    world.models.build(world.connection, full_refresh=True)
    assert now(alone) == [(pam,)]
    world.override("separate", "amplitude_id:141", "user_id:Pam")
    world.build()
    assert (now(alone), now(pam)) == ([(alone,)], [(pam,)])


def test_id_13_who_was_named_after_an_id_nobody_has_seen_is_gone_with_it(world: World) -> None:
    world.event(1, 1)
    world.merge(1, 51)
    world.event(1, None, "ann")
    world.override("link", "user_id:ann", "user_id:never")
    world.build()
    assert world.people() == people("1 51", "ann never")
    world.event(2, 1, "cy")
    world.connection.execute("delete from raw.identity_overrides")
    world.build()
    assert world.people() == people("1 cy", "ann")
    assert world.rows("select anchor from identity.persons order by 1") == [
        ("amplitude_id:default:1",),
        ("user_id:default:ann",),
    ]


def test_id_14_the_order_of_loading_changes_nothing(world: World) -> None:
    world.event(2, 90, "fae")
    world.build()
    world.event(1, 90, "eli")
    world.build()
    assert world.people() == people("90 eli", "fae")


def test_id_15_each_link_says_what_shows_it(world: World) -> None:
    world.event(8, 151, None, "r-1", name="x1")
    world.event(9, 152, "Rob", "r-1", name="x2")
    world.event(10, 152, "Rob", "r-2", name="x3")
    world.build()
    assert world.rows(
        "select link_class, left_id_value, right_id_value, row_count, first_row, known_row,"
        " device_id, first_seen_at from identity.links order by 1"
    ) == [
        ("device", "151", "Rob", 1, uuid_of("x1"), uuid_of("x2"), "r-1", at(9)),
        ("observed", "152", "Rob", 2, uuid_of("x2"), None, None, at(9)),
    ]


PATH = "select from_id_value, to_id_value, link_class, decision, reason from identity.path"


def test_id_15_the_path_between_two_identifiers_of_one_person(world: World) -> None:
    world.event(8, 151, None, "r-1", name="x1")
    world.event(9, 152, "Rob", "r-1", name="x2")
    world.event(10, 152, "Rob", "r-2", name="x3")
    world.build()
    assert world.rows(
        "select step, from_id_type, from_id_value, to_id_type, to_id_value, link_class, row_count,"
        " first_row, device_id, known_row, first_seen_at"
        " from identity.path('amplitude_id:default:151', 'amplitude_id:default:152')"
    ) == [
        (
            *(1, "amplitude_id", "151", "user_id", "Rob", "device", 1),
            *(uuid_of("x1"), "r-1", uuid_of("x2"), at(9)),
        ),
        (
            *(2, "user_id", "Rob", "amplitude_id", "152", "observed", 2),
            *(uuid_of("x2"), None, None, at(9)),
        ),
    ]
    assert world.rows(f"{PATH}('user_id:default:Rob', 'amplitude_id:default:151')") == [
        ("Rob", "151", "device", "followed", None)
    ]
    assert world.rows(f"{PATH}('user_id:default:Rob', 'user_id:default:Rob')") == []


def test_id_15_a_path_goes_no_further_up_than_where_the_chains_meet(world: World) -> None:
    world.event(1, 9, "Tia")
    for number in (1, 2, 3, 4):
        world.event(1, number)
    world.merge(1, 3)
    world.merge(2, 3)
    world.merge(3, 4)
    world.merge(4, 9)
    world.build()
    assert [
        row[:2] for row in world.rows(f"{PATH}('amplitude_id:default:1', 'amplitude_id:default:2')")
    ] == [
        ("1", "3"),
        ("3", "2"),
    ]
    assert len(world.rows(f"{PATH}('user_id:default:Tia', 'amplitude_id:default:1')")) == 4


def test_id_15_between_two_persons_there_is_what_was_refused(world: World) -> None:
    world.event(1, 90, "eli")
    world.event(2, 90, "fae")
    world.event(3, 91, "gil")
    world.build()
    assert world.rows(f"{PATH}('user_id:default:fae', 'user_id:default:eli')") == [
        ("90", "fae", "observed", "refused", "other_user_first")
    ]
    assert world.rows(f"{PATH}('user_id:default:gil', 'user_id:default:eli')") == []
    assert world.rows(f"{PATH}('user_id:default:nobody', 'user_id:default:eli')") == []


def test_id_16_the_latest_usable_value_of_a_property(world: World) -> None:
    world.event(8, 161, "Sue", "s-1", properties={"CleverTap_Identity": "S-1"})
    world.event(10, 161, "Sue", "s-1", properties={"CleverTap_Identity": "S-2"})
    world.event(9, 161, "Sue", "s-1", properties={"CleverTap_Identity": "S-9"})
    world.event(11, 161, "Sue", "s-1", properties={"CleverTap_Identity": "null"})
    world.event(12, 161, "Sue", "s-1", properties={"CleverTap_Identity": None})
    world.event(13, 161, "Sue", "s-1")
    world.cohort("7", [(161, "Sue")])
    world.sync("c", "7", "clevertap", ["CleverTap_Identity", "user_id"])
    world.build()
    assert key_of(world, "c", "user_id", "Sue")[3] == "S-2"


def test_id_16_a_property_of_the_cohort_file_counts_at_its_time(world: World) -> None:
    world.event(8, 161, "Sue", properties={"CleverTap_Identity": "S-1"})
    world.cohort("7", [(161, "Sue", {"CleverTap_Identity": "S-3"})], 9)
    world.event(8.5, 161, "Sue", properties={"CleverTap_Identity": "S-2"})
    world.sync("c", "7", "clevertap", ["CleverTap_Identity"])
    world.build()
    assert key_of(world, "c", "user_id", "Sue")[3] == "S-3"


def test_id_16_devices_latest_first(world: World) -> None:
    world.event(9, 163, None, "s-3")
    world.event(12, 163, None, "s-4")
    world.cohort("7", [(163, "")])
    world.sync("c", "7", "clevertap")
    world.build()
    assert world.rows(
        "select offered_value from identity.offered_values"
        " where value_kind = 'anonymous' order by place"
    ) == [("s-4",), ("s-3",)]
    assert key_of(world, "c", "amplitude_id", "163")[3] == "s-4"


def test_id_17_spellings_that_fold_to_one_are_one_key(world: World) -> None:
    world.cohort("7", [(171, "Kim"), (172, "kim")])
    world.sync("c", "7", "clevertap")
    world.sync("m", "7", "moengage")
    world.build()
    assert key_of(world, "c", "amplitude_id", "171")[3:] == ("Kim", "kim")
    assert key_of(world, "c", "amplitude_id", "172")[3:] == ("Kim", "kim")
    assert key_of(world, "m", "amplitude_id", "172")[3:] == ("kim", "kim")


def test_id_18_clevertap(world: World) -> None:
    world.event(1, 181, "Tina1")
    world.event(1, 182, "Ugo1")
    world.event(1, 183, "Ugo3", properties={"CleverTap_Identity": "ugo2"})
    world.event(1, 184, None, "77AB-X")
    world.event(1, 185, None, "a.b/c")
    world.event(1, 186, "x" * 513)
    world.known_user("clevertap", "tina1")
    world.known_user("clevertap", "ugo2", "some-device")
    world.cohort("7", [(number, "") for number in range(181, 187)])
    world.sync("c", "7", "clevertap", ["CleverTap_Identity", "user_id"])
    world.build()
    rows = world.rows(
        "select id_value, status, detail, key_type, key_value, match_key, effect"
        " from identity.keys join identity.person_ids using (person_id)"
        " where id_type = 'amplitude_id' order by 1"
    )
    assert rows == [
        ("181", "ok", None, "identity", "Tina1", "tina1", "existing_profile"),
        ("182", "ok", None, "identity", "Ugo1", "ugo1", "creates_profile"),
        ("183", "ok", None, "identity", "ugo2", "ugo2", "existing_profile"),
        ("184", "ok", None, "object_id", "77AB-X", "77ab-x", "creates_profile"),
        ("185", "invalid_key", "bad_object_id", None, None, None, None),
        ("186", "invalid_key", "identity_too_long", None, None, None, None),
    ]


def test_id_18_the_three_scenarios_of_the_vendor(world: World) -> None:
    world.event(1, 187, "Clevertap1")
    world.event(1, 188, "CleverTap1x", properties={"CleverTap_Identity": "CleverTap2"})
    world.event(1, 189, None, "543C-3455-4555-3SRD")
    world.cohort("7", [(187, ""), (188, ""), (189, "")])
    world.sync("by_user", "7", "clevertap")
    world.sync("by_property", "7", "clevertap", ["CleverTap_Identity"], [])
    world.build()
    assert key_of(world, "by_user", "amplitude_id", "187")[2:] == (
        "identity", "Clevertap1", "clevertap1",
    )  # fmt: skip
    assert key_of(world, "by_user", "amplitude_id", "188")[4] == "clevertap1x"
    assert key_of(world, "by_property", "amplitude_id", "188")[4] == "clevertap2"
    assert key_of(world, "by_user", "amplitude_id", "189")[2:4] == (
        "object_id", "543C-3455-4555-3SRD",
    )  # fmt: skip
    assert key_of(world, "by_property", "amplitude_id", "187")[:2] == ("no_key", "no_identifier")


def test_id_18_folding_is_one_code_point_to_one(world: World) -> None:
    world.cohort("7", [(1, "ΣΑΣ"), (2, "Straße"), (3, "İx")])
    world.sync("c", "7", "clevertap")
    world.build()
    assert key_of(world, "c", "amplitude_id", "1")[4] == "σασ"
    assert key_of(world, "c", "amplitude_id", "2")[4] == "straße"
    assert len(key_of(world, "c", "amplitude_id", "3")[4]) == 2


def test_id_18_match_case_exact(world: World) -> None:
    world.setting("clevertap_match_case", "exact")
    world.cohort("7", [(171, "Kim"), (172, "kim")])
    world.sync("c", "7", "clevertap")
    world.build()
    assert key_of(world, "c", "amplitude_id", "171")[3:] == ("Kim", "Kim")
    assert key_of(world, "c", "amplitude_id", "172")[3:] == ("kim", "kim")


def test_id_19_moengage(world: World) -> None:
    world.event(1, 191, "val")
    world.event(1, 192, None, "v-2")
    world.event(1, 193, None, "v-3")
    world.event(1, 194, None, "v-4")
    world.event(1, 195, "wim", "v-5")
    world.event(1, 196, None, "v-6")
    world.known_user("moengage", "val")
    world.known_user("moengage", None, "v-2")
    world.known_user("moengage", "val", "v-3")
    world.known_user("moengage", "yan", "v-5")
    world.known_user("moengage", "za", "v-6")
    world.known_user("moengage", "zb", "v-6")
    world.cohort("7", [(number, "") for number in range(191, 197)])
    world.sync("m", "7", "moengage")
    world.build()
    rows = world.rows(
        "select id_value, status, detail, key_type, key_value, matched_on"
        " from identity.keys join identity.person_ids using (person_id)"
        " where id_type = 'amplitude_id' order by 1"
    )
    assert rows == [
        ("191", "ok", None, "user_id", "val", "user_id"),
        ("192", "unmatched", "anonymous_only", None, None, None),
        ("193", "ok", None, "user_id", "val", "moe_anonymous_id"),
        ("194", "unmatched", "unknown_user", None, None, None),
        ("195", "unmatched", "conflict", None, None, None),
        ("196", "unmatched", "ambiguous", None, None, None),
    ]


def test_id_19_anonymous_keys_can_be_sent(world: World) -> None:
    world.setting("moengage_anonymous_keys", "send")
    world.event(1, 192, None, "v-2")
    world.known_user("moengage", None, "v-2")
    world.cohort("7", [(192, "")])
    world.sync("m", "7", "moengage")
    world.build()
    assert key_of(world, "m", "amplitude_id", "192")[2:] == ("moe_anonymous_id", "v-2", "v-2")


@pytest.mark.parametrize(
    ("user_id", "answer"),
    [
        ("Guest", ("invalid_key", "banned_id")),
        ("x", ("invalid_key", "banned_id")),
        ("xy", ("ok", None)),
    ],
)
def test_id_19_refused_ids_are_skipped(
    world: World, user_id: str, answer: tuple[str, str | None]
) -> None:
    world.cohort("7", [(197, user_id)])
    world.sync("m", "7", "moengage")
    world.build()
    assert key_of(world, "m", "amplitude_id", "197")[:2] == answer


def test_id_19_without_a_directory_the_anonymous_are_reported(world: World) -> None:
    world.event(1, 198, None, "v-8")
    world.cohort("7", [(198, ""), (199, "")])
    world.sync("m", "7", "moengage")
    world.build()
    assert key_of(world, "m", "amplitude_id", "198")[:2] == ("unmatched", "anonymous_only")
    assert key_of(world, "m", "amplitude_id", "199")[:2] == ("no_key", "no_identifier")


def test_id_20_lytics(world: World) -> None:
    world.event(1, 201, "Abe")
    world.event(1, 202)
    world.merge(202, 201)
    world.event(1, None, "Bix")
    world.event(1, None, "y" * 257)
    world.cohort("7", [(202, ""), (None, "Bix"), (None, "y" * 257)])
    world.sync("l", "7", "lytics")
    world.build()
    assert key_of(world, "l", "amplitude_id", "202")[2:] == ("amplitude_id", "201", "201")
    assert key_of(world, "l", "user_id", "Bix")[2:] == ("amplitude_user_id", "Bix", "Bix")
    assert key_of(world, "l", "user_id", "y" * 257)[:2] == ("invalid_key", "identifier_too_long")


def test_id_23_a_separated_anonymous_member_loses_a_device_that_is_another_persons(
    world: World,
) -> None:
    world.event(1, 237, None, "j-1")
    world.event(2, 238, "Jan", "j-1")
    world.cohort("7", [(237, "")])
    world.sync("c", "7", "clevertap")
    world.build()
    assert key_of(world, "c", "amplitude_id", "237")[4] == "jan"
    world.override("separate", "amplitude_id:237", "user_id:Jan")
    world.build()
    assert key_of(world, "c", "amplitude_id", "237")[:2] == ("no_key", "device_owned_by_other")


def test_id_24_rows_persons_and_keys(world: World) -> None:
    world.event(1, 241, "Kim")
    world.event(1, 243)
    world.merge(243, 241)
    world.cohort("7", [(241, "Kim"), (241, "Kim"), (243, ""), (242, "kim"), (244, ""), (None, "")])
    world.sync("c", "7", "clevertap")
    world.build()
    assert world.rows(
        "select count(*), count(*) filter (where status = 'ok'),"
        " count(*) filter (where status = 'no_key'), count(distinct match_key) from identity.keys"
    ) == [(3, 2, 1, 1)]


def test_section_6_the_health_report_lists_what_to_look_at(world: World) -> None:
    world.setting("flag_devices_per_person", 1)
    world.setting("max_user_ids_per_device", 1)
    world.event(1, 60, "Undefined", "b-1")
    world.event(2, 61, "Undefined", "b-2")
    world.event(3, 640, "none", "t-1")
    world.event(3, 640, "none", "t-2")
    world.event(4, 71, "ann", "kiosk")
    world.event(5, 72, "Ann", "kiosk")
    world.event(6, 90, "eli", "p-1")
    world.event(7, 90, "fae", "p-2")
    world.event(8, 90, None, "p-3")
    for left, right in ((101, 102), (102, 103), (201, 202), (202, 201)):
        world.event(9, left)
        world.merge(left, right)
    world.build()
    found = world.rows("select finding, id_type, id_value, affected_count from identity.health")
    assert sorted(found) == [
        ("case_variants", "user_id", "ann", 2),
        ("contaminated_id", "amplitude_id", "640", 2),
        ("flagged_person", "amplitude_id", "90", 2),
        ("flagged_person", "user_id", "fae", 1),
        ("junk_value", "user_id", "Undefined", 2),
        ("junk_value", "user_id", "none", 2),
        ("link_circle", "amplitude_id", "201", 1),
        ("merge_chain", "amplitude_id", "101", 2),
        ("refused_link", "amplitude_id", "90", 1),
        ("shared_device", "device_id", "kiosk", 2),
    ]
    assert world.rows("select detail from identity.health where finding = 'flagged_person'") == [
        ("many_devices, refused_links: 1 amplitude ids, 2 devices",),
        ("refused_links: 0 amplitude ids, 1 devices",),
    ]


R_TABLES: dict[str, list[tuple[str, str | None, int]]] = {
    "R2": [("A", None, 1), ("B", None, 2), ("B", None, 2), ("C", None, 3), ("A", None, 1)],
    "R3": [("G", None, 4), ("G", None, 4), ("G", "John", 4)],
    "R4": [("K", "Zack", 5), ("L", "Zack", 5)],
    "R5": [("R", "Jane", 6), ("R", None, 6), ("R", "Mary", 7), ("R", None, 7), ("R", None, 7)],
    "R6": [("Y", "David", 8), ("Z", None, 9), ("Z", "David", 8), ("Z", None, 8)],
}
# R7: two user ids never merge. R8: after a sign-out without a new device the last user stays, and
# after one with a new device nobody is known. R9: devices are known in all projects of one
# organisation; R13: a device derived from a user id is one like any other.
R_TABLES |= {
    "R7": [("S", "old@x", 11), ("S", "new@x", 12)],
    "R8": [("T", "Uma", 13), ("T", None, 13), ("U", None, 14)],
    "R13": [("derived", "Vic", 15), ("V", None, 16), ("V", "Vic", 15)],
}
R_PEOPLE = {
    "R2": people("1", "2", "3"),
    "R3": people("4 John"),
    "R4": people("5 Zack"),
    "R5": people("6 Jane", "7 Mary"),
    "R6": people("8 9 David"),
    "R7": people("11 old@x", "12 new@x"),
    "R8": people("13 Uma", "14"),
    "R13": people("15 16 Vic"),
}


@pytest.mark.parametrize("with_merges", [False, True])
@pytest.mark.parametrize("table", sorted(R_TABLES))
def test_amplitudes_own_tables(world: World, table: str, with_merges: bool) -> None:
    for clock, (device, user, amplitude_id) in enumerate(R_TABLES[table]):
        world.event(clock, amplitude_id, user, f"device-{device}")
    if with_merges and table == "R6":
        world.merge(9, 8)
        world.setting("device_linking", "off")
    world.build()
    assert world.people() == R_PEOPLE[table]


def test_r9_a_device_is_known_in_all_projects_of_an_organisation(world: World) -> None:
    world.namespace("3", "partner_org")
    world.event(1, 17, None, "w-1", app=1)
    world.event(2, 18, "Wes", "w-1", app=2)
    world.event(1, 19, None, "w-1", app=3)
    world.build()
    assert world.people() == people("17 18 Wes", "19")


def test_r12_a_merge_that_arrives_late_changes_the_past(world: World) -> None:
    world.event(1, 20, None, "y-1")
    world.event(2, 21, "Xia", "y-2")
    world.build()
    assert world.people() == people("20", "21 Xia")
    world.merge(20, 21, 30)
    world.build()
    assert world.people() == people("20 21 Xia")


def test_r14_invalid_ids_are_as_if_they_were_not_there(world: World) -> None:
    world.event(1, 22, "unknown", "z-1")
    world.event(2, 23, "null", "z-2")
    world.event(3, 24, "N/A", "none")
    world.build()
    assert world.people() == people("22", "23", "24")
