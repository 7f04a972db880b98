"""The main job against the emulators, three days of it, held against the world's own truth."""

import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from rich.console import Console

from relay.emulate.clevertap.switches import ClevertapSwitches
from relay.emulate.clock import Clock
from relay.emulate.house import Emulators
from relay.errors import ConfigurationError
from relay.rehearsal.home import begin, refuse_over_rehearsal
from relay.rehearsal.run import HELD_SYNC, Rehearsal, rehearse
from relay.rehearsal.truth import TrueDiff
from relay.rehearsal.world import World
from relay.settings import load_settings

CART, LOYAL = "1638361188", "k7w2m9xq"
USER_ID_FROM = {"cart-to-clevertap": ("CleverTap_Identity", "user_id"), HELD_SYNC: ("user_id",)}
COHORTS = {"cart-to-clevertap": CART, HELD_SYNC: LOYAL}


class Played:
    """A rehearsal that was run, with what is left of it."""

    def __init__(self, home: Path, world: World, emulators: Emulators, done: Rehearsal) -> None:
        self.home, self.world, self.emulators, self.done = home, world, emulators, done

    def copy(self) -> duckdb.DuckDBPyConnection:
        """The analysts' copy."""
        return duckdb.connect(str(self.home / "warehouse" / "analytics.duckdb"), read_only=True)

    def rows(self, sync: str, plan_id: str) -> dict[str, set[tuple[str, str, str]]]:
        """Type, match key and reason of a plan's changes, by action."""
        file = self.home / "outbox" / plan_id / f"{sync}.rows.parquet"
        found: dict[str, set[tuple[str, str, str]]] = {}
        for action, *change in duckdb.sql(
            f"select action, key_type, match_key, reason from '{file}'"
        ).fetchall():
            found.setdefault(action, set()).add(tuple(change))
        return found


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    home = tmp_path_factory.mktemp("rehearsal")
    world = World()
    clock = Clock(world.at(1).now, frozen=True)
    switches = ClevertapSwitches(partner_sync_restricted=False)
    with Emulators(clock=clock, clevertap=switches) as emulators:
        done = rehearse(home, world, emulators=emulators, console=Console(quiet=True))
        yield Played(home, world, emulators, done)


def _changes(diff: TrueDiff) -> dict[str, set[tuple[str, str, str]]]:
    expected: dict[str, set[tuple[str, str, str]]] = {
        "added": {(c.key.key_type, c.key.match_key, c.reason) for c in diff.added},
        "removed": {(c.key.key_type, c.key.match_key, c.reason) for c in diff.removed},
    }
    return {action: changes for action, changes in expected.items() if changes}


@pytest.mark.parametrize("sync", COHORTS)
def test_the_first_sync_is_whole(played: Played, sync: str) -> None:
    plan = played.done.first.plan.plan
    assert plan is not None
    truth = played.world.at(1).truth(COHORTS[sync], USER_ID_FROM[sync])
    found = played.rows(sync, plan.plan_id)
    assert set(found) == {"added"}
    assert {change[:2] for change in found["added"]} == {
        (key.key_type, key.match_key) for key in truth.keys
    }


@pytest.mark.parametrize("sync", COHORTS)
def test_the_second_sync_is_the_true_difference(played: Played, sync: str) -> None:
    plan = played.done.second.plan.plan
    assert plan is not None
    diff = played.world.at(2).diff(COHORTS[sync], USER_ID_FROM[sync])
    found = played.rows(sync, plan.plan_id)
    reasserted = {change[:2] for change in found.pop("reasserted", set())}
    assert found == _changes(diff)
    assert reasserted == {(key.key_type, key.match_key) for key in diff.reasserted}


def test_what_was_planned_was_delivered(played: Played) -> None:
    for outcome in (played.done.first, played.done.second):
        assert outcome.applied is not None
        assert outcome.exit_code == 0
        for one in outcome.applied.syncs:
            assert one.delivered == one.planned, one


def test_a_bad_export_is_held_approved_and_taken_back(played: Played) -> None:
    held = {one.name: one for one in played.done.held.syncs}[HELD_SYNC]
    assert held.state == "held"
    assert held.reason == f"would remove {held.removed} of 74, limit 20 %"
    assert {one.name for one in played.done.held.syncs if one.state == "held"} == {HELD_SYNC}
    approved = {one.name: one for one in played.done.approved.syncs}[HELD_SYNC]
    assert (approved.delivered, approved.held) == (held.removed, 0)
    undone = {one.name: one for one in played.done.undone.syncs}[HELD_SYNC]
    assert (undone.added, undone.removed) == (held.removed, held.added)
    with played.copy() as copy:
        paused = copy.execute("select sync_name from ledger.syncs where is_paused").fetchall()
    assert (HELD_SYNC,) in paused


def test_clevertap_holds_what_the_tables_say(played: Played) -> None:
    """The segment in the emulator, computed from the events it stored, is the confirmed one."""
    with played.copy() as copy:
        for sync, cohort_id in COHORTS.items():
            confirmed = copy.execute(
                "select key_type, match_key from reports.confirmed_memberships"
                " where sync_name = ? and valid_to is null",
                [sync],
            ).fetchall()
            there = {
                (key_type, value.lower())
                for key_type, value in played.emulators.clevertap.members(cohort_id)
            }
            assert there == set(confirmed), sync
    assert played.emulators.clevertap.state()["doubled"] == []


def test_one_cohort_is_at_all_three(played: Played) -> None:
    """What is confirmed of the cart cohort is what each vendor holds of it."""
    vendors = played.emulators
    with played.copy() as copy:
        confirmed = {
            sync: {
                value
                for (value,) in copy.execute(
                    "select match_key from reports.confirmed_memberships"
                    " where sync_name = ? and valid_to is null",
                    [sync],
                ).fetchall()
            }
            for sync in ("cart-to-clevertap", "cart-to-moengage", "cart-to-lytics")
        }
    assert min(len(keys) for keys in confirmed.values()) > 10
    clevertap = {value.lower() for _, value in vendors.clevertap.members(CART)}
    assert clevertap == confirmed["cart-to-clevertap"]
    moengage = vendors.moengage.members("[Amplitude][Cart Drop off]")
    assert moengage == confirmed["cart-to-moengage"]
    # A profile of Lytics has several ids, and was told of by one of them.
    profiles = [
        {value for _, value in profile["unique_ids"]}
        for profile in vendors.lytics.state()["profiles"]
        if profile["fields"].get("amplitude_cohort_ids", {}).get(CART) is True
    ]
    assert all(ids & confirmed["cart-to-lytics"] for ids in profiles)
    assert confirmed["cart-to-lytics"] <= set().union(*profiles)


def test_engagement_comes_back_from_amplitude_under_the_right_people(played: Played) -> None:
    """Both sources were sent, came back with Amplitude's export, and taught identity nothing."""
    sent = [event["event_properties"]["$source"] for event in played.emulators.amplitude.ingested()]
    assert min(sent.count("MOENGAGE"), sent.count("CLEVERTAP")) > 100
    with played.copy() as copy:
        ((back, same_person, two_people),) = copy.execute(
            """
            with ids as (select id_type, id_value, person_id from identity.person_ids)
            select
                count(*),
                count(*) filter (where users.person_id = numbers.person_id),
                count(*) filter (where users.person_id != numbers.person_id)
            from staging.stg_amplitude__events as events
            left join ids as users
                on users.id_type = 'user_id' and events.user_id = users.id_value
            left join ids as numbers
                on
                    numbers.id_type = 'amplitude_id'
                    and cast(events.amplitude_id as varchar) = numbers.id_value
            where events.is_relayed
            """
        ).fetchall()
        learnt = copy.execute("select count(*) from identity.links where first_row like 'relay:%'")
        assert learnt.fetchall() == [(0,)]
    assert same_person > 0.8 * back > 100
    assert two_people == 0


def test_bodies_have_the_five_properties(played: Played) -> None:
    plan = played.done.first.plan.plan
    assert plan is not None
    body = json.loads(
        (plan.folder / "cart-to-clevertap.requests.ndjson").read_text("utf-8").splitlines()[0]
    )
    for record in body["d"]:
        assert record["evtName"] == "Partner Sync"
        assert record["evtData"] == {
            "Partner Segment Name": "Cart Drop off",
            "Action": "Added",
            "Partner Segment ID": CART,
            "CT Source": "Amplitude",
            "Partner Name": "Amplitude",
        }
        assert len({"identity", "objectId"} & set(record)) == 1


def test_every_row_has_one_outcome_and_the_sums_hold(played: Played) -> None:
    with played.copy() as copy:
        counted = copy.execute(
            "select plan_id, sync_name, count(*) from reports.deliveries group by all"
        ).fetchall()
    planned = {
        (file.parent.name, one["sync"]): one["rows"]
        for file in played.home.glob("outbox/*/manifest.json")
        for one in json.loads(file.read_text("utf-8"))["files"]
        if one["role"] == "rows"
    }
    assert {(plan_id, sync): rows for plan_id, sync, rows in counted} == planned


def test_a_real_run_over_a_rehearsal_is_refused(played: Played) -> None:
    with pytest.raises(ConfigurationError, match="holds a rehearsal"):
        refuse_over_rehearsal(load_settings(played.home, environ={}))


def test_a_rehearsal_over_a_real_ledger_is_refused(tmp_path: Path) -> None:
    home = load_settings(tmp_path, environ={}).home
    home.ledger.mkdir(parents=True)
    (home.ledger / "20260301T000000Z-00000000.ndjson").touch()
    with pytest.raises(ConfigurationError, match="real"):
        begin(home, {})
