"""The truth, held against a hand-written world and against the rules over the rows."""

import csv
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import pytest

from rehearsal.resolver import Resolver, Row, evidence
from relay.rehearsal.addressing import Key
from relay.rehearsal.cohort_exports import CohortAtStep
from relay.rehearsal.script import Cohort, Member, Person, Script, Seen, Visit, to_ms
from relay.rehearsal.truth import TrueChange
from relay.rehearsal.world import Moment, World

DAY_1 = datetime(2026, 3, 1, 9, tzinfo=UTC)


def visit(
    person: int,
    device: str,
    user: str | None,
    *,
    day: int = 1,
    hour: int = 0,
    anonymous_events: int = 0,
) -> Visit:
    """Three events; `hour` counts from nine o'clock."""
    number = day * 24 + hour
    at_ms = to_ms(DAY_1 + timedelta(days=day - 1, hours=hour))
    return Visit(person, number, device, user, at_ms, at_ms + 1500, 3, anonymous_events)


@pytest.fixture(scope="module")
def tiny() -> World:
    """Nine people, two steps, each story once."""
    visits = [
        visit(0, "phone-ann", "Ann"),
        visit(1, "ipad-7", None),
        visit(1, "ipad-7", "bo.larsen", day=2, anonymous_events=1),
        visit(2, "phone-chloe", "chloë"),
        visit(2, "laptop-5", None, hour=1),
        visit(2, "laptop-5", "chloë", day=2),
        visit(3, "phone-dev", "dev-3"),
        visit(4, "phone-esra", "esra", day=2),
        visit(5, "tv", "undefined"),
        visit(6, "watch", "undefined", day=2),
        visit(7, "phone-max", "Max"),
        visit(7, "tablet-max", "max", hour=1),
        visit(8, "no/good id", None),
    ]
    first = (
        Member(0, user_id="Ann"),
        Member(1, device_id="ipad-7"),
        Member(2, user_id="chloë"),
        Member(2, device_id="laptop-5"),
        Member(3, user_id="dev-3"),
        Member(5, user_id="undefined"),
        Member(7, user_id="Max"),
        Member(8, device_id="no/good id"),
        Member(9, device_id="unseen"),
    )
    second = (
        Member(0, user_id="Ann"),
        Member(0, user_id="Ann"),
        Member(1, device_id="ipad-7"),
        Member(2, user_id="chloë"),
        Member(2, device_id="laptop-5"),
        Member(4, user_id="esra"),
        Member(5, user_id="undefined"),
        Member(7, user_id="max"),
        Member(8, device_id="no/good id"),
        Member(9, device_id="unseen"),
    )
    script = Script(
        seed=1,
        steps=(datetime(2026, 3, 2, 1, tzinfo=UTC), datetime(2026, 3, 3, 1, tzinfo=UTC)),
        people=[Person(number, f"Person {number}", "tiny") for number in range(10)],
        history=[Seen("unseen")],
        visits=visits,
        cohorts=[Cohort("c1", "Tiny", (first, second))],
    )
    return World(script=script)


def test_the_first_step_is_as_written_by_hand(tiny: World) -> None:
    truth = tiny.at(1).truth("c1")
    assert {str(key): value for key, value in truth.keys.items()} == {
        "identity:ann": "Ann",
        "object_id:ipad-7": "ipad-7",
        "identity:chloë": "chloë",
        "object_id:laptop-5": "laptop-5",
        "identity:dev-3": "dev-3",
        "object_id:tv": "tv",
        "identity:max": "Max",
    }
    assert {(person.label, person.status, person.detail) for person in truth.persons if
            person.status != "ok"} == {
        ("device:no/good id", "invalid_key", "bad_object_id"),
        ("device:unseen", "no_key", "no_identifier"),
    }  # fmt: skip
    assert (truth.rows, truth.unidentifiable, len(truth.persons)) == (9, 0, 9)
    assert all(change.reason == "entered" for change in tiny.at(1).diff("c1").added)


def test_the_second_step_is_as_written_by_hand(tiny: World) -> None:
    truth, diff = tiny.at(2).truth("c1"), tiny.at(2).diff("c1")
    assert (truth.rows, truth.unidentifiable, len(truth.persons)) == (10, 1, 7)
    assert diff.added == (
        TrueChange(Key("identity", "bo.larsen"), "bo.larsen", "rekeyed"),
        TrueChange(Key("identity", "esra"), "esra", "entered"),
    )
    assert diff.removed == (
        TrueChange(Key("identity", "dev-3"), "dev-3", "left_cohort"),
        TrueChange(Key("object_id", "ipad-7"), "ipad-7", "rekeyed"),
        TrueChange(Key("object_id", "laptop-5"), "laptop-5", "rekeyed"),
        TrueChange(Key("object_id", "tv"), "tv", "person_gone"),
    )
    assert diff.reasserted == (Key("identity", "chloë"),)
    assert diff.unchanged == tuple(Key("identity", text) for text in ("ann", "chloë", "max"))


def test_lytics_keeps_its_key_when_somebody_becomes_known(tiny: World) -> None:
    rows = dict(zip(("ann", "bo", "chloë", "laptop"), tiny.at(1).cohort("c1").rows, strict=False))
    diff = tiny.at(2).diff("c1", destination="lytics")
    removed = {change.key.match_key: change.reason for change in diff.removed}
    assert rows["bo"][0] not in removed
    assert removed[rows["laptop"][0]] == "rekeyed"
    assert diff.reasserted == (Key("amplitude_id", rows["chloë"][0]),)


def test_the_cohort_file_shows_amplitude_ids_and_who_was_claimed(tiny: World) -> None:
    before, after = (
        list(csv.reader(tiny.at(step).cohort("c1").csv.decode().splitlines())) for step in (1, 2)
    )
    assert before[0] == ["amplitude_id", "user_id"]
    assert [user for _, user in before[1:]] == (
        ["Ann", "", "chloë", "", "dev-3", "undefined", "Max", "", ""]
    )
    bo_before, bo_after = before[2], after[3]
    assert bo_after == [bo_before[0], "bo.larsen"]
    laptop = after[5]
    assert laptop == before[4]
    (merge,) = tiny.at(2).merges
    assert [str(merge.amplitude_id), ""] == laptop
    assert [str(merge.merged_amplitude_id), "chloë"] == after[4]


Step = tuple[Moment, list[CohortAtStep], list[Row]]


@lru_cache
def steps_of(seed: int) -> list[Step]:
    """Each step of a world: the cohorts that were computed, and every row exported so far."""
    world = World(people=220, seed=seed)
    snapshots: list[tuple[str, tuple[tuple[str, str], ...]]] = []
    seen = []
    for step in (1, 2, 3):
        moment = world.at(step)
        cohorts = [cohort for cohort in moment.cohorts() if cohort.computed_at]
        snapshots += [(f"{cohort.computed_at:%Y-%m-%d %H:%M:%S}.000000", cohort.rows)
                      for cohort in cohorts]  # fmt: skip
        events = [row for _, rows in moment.events() for row in rows]
        seen.append((moment, cohorts, evidence(events, snapshots)))
    return seen


@pytest.mark.parametrize("with_merges", [True, False])
@pytest.mark.parametrize("seed", [7, 8])
def test_the_rules_over_the_rows_give_the_truth(seed: int, with_merges: bool) -> None:
    for moment, cohorts, rows in steps_of(seed):
        resolver = Resolver(rows, moment.merges if with_merges else ())
        directory = csv.reader(moment.known_users("moengage").decode().splitlines()[1:])
        known_users = [(uid, device) for uid, device in directory]
        for cohort in cohorts:
            members = [resolver.person_of(*row) for row in cohort.rows]
            persons = {person for person in members if person}
            for destination, found in {
                "clevertap": [resolver.clevertap(person) for person in persons],
                "moengage": [resolver.moengage(person, known_users) for person in persons],
                "lytics": [resolver.lytics(person) for person in persons],
            }.items():
                truth = moment.truth(cohort.cohort_id, destination=destination)
                assert {key for key in found if isinstance(key, Key)} == set(truth.keys)
                assert Counter(word for word in found if isinstance(word, str)) == Counter(
                    person.status for person in truth.persons if person.status != "ok"
                )
                assert len(persons) == len(truth.persons)
                assert members.count(None) == truth.unidentifiable
                assert len(members) == truth.rows
