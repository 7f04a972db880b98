"""What a plan is made of and what becomes of it: the guard, approval, adoption, undo, the clock."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from apply.sealed import Sync, seal
from plan.desk import CART, LOYAL, NOW, SYNCS, Desk, Open, one, outcomes, rows_of, sealed
from relay import warehouse
from relay.apply.decisions import resume
from relay.apply.ledger import Ledger
from relay.cli.plan import next_step, plan_text
from relay.errors import ConfigurationError, LedgerError, PlanError
from relay.plan.make import payload_query
from relay.plan.manifest import Plan, PlanSync
from relay.report.members import members_of
from relay.report.status import status


def crowd(*numbers: Iterable[int]) -> list[str]:
    return [f"u{number:03}" for stretch in numbers for number in stretch]


def times(plan: Plan, sync: str) -> dict[str, set[int]]:
    """The `ts` of a plan's rows by action."""
    file = plan.file(sync, "requests")
    assert file is not None
    found: dict[str, set[int]] = {}
    for line in (plan.folder / file.path).read_text().splitlines():
        for record in json.loads(line)["d"]:
            found.setdefault(record["evtData"]["Action"], set()).add(record["ts"])
    return found


def notes(desk: Desk, sync: str) -> list[str]:
    desk.rebuild_ledger()
    with duckdb.connect(str(desk.settings.home.database)) as connection:
        entries = {entry["name"]: entry for entry in status(connection, desk.settings)}
    return list(entries[sync]["notes"])


# --- the guard ----------------------------------------------------------------------------------


def test_a_held_sync_keeps_its_place_and_the_others_go(open_desk: Open) -> None:
    desk = open_desk()
    desk.let_in(CART, *crowd(range(60)))
    desk.sync()
    desk.wait()
    desk.let_in(CART, *crowd(range(20), range(60, 62)))
    desk.let_in(LOYAL, "ann")
    first = desk.plan()
    held = one(first, "ct")
    assert (held.state, held.reason) == ("held", "would remove 40 of 60, limit 30 %")
    assert (held.removed, held.added, held.unchanged) == (40, 2, 20)
    assert first.is_held
    result = desk.apply(sealed(first))
    assert outcomes(result, "ct") == "held 42"
    assert outcomes(result, "moe") == "delivered 1"
    assert result.exit_code == 3
    # The same changes again: the plan that holds them stands, and nothing is sealed.
    desk.wait()
    again = desk.plan()
    assert again.plan is None
    assert again.held_in == {"ct": sealed(first).plan_id}
    assert desk.read(
        "select distinct outcome from ledger.row_outcomes where sync_name = 'ct' and plan_id = ?",
        sealed(first).plan_id,
    ) == [("held",)]
    # What went before does not make it stale.
    assert outcomes(desk.apply(sealed(first), "ct"), "ct") == "delivered 42"
    assert desk.confirmed("ct") == crowd(range(20), range(60, 62))


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_held_plan_that_cannot_be_applied_is_sealed_anew(open_desk: Open, is_gone: bool) -> None:
    desk = open_desk()
    desk.let_in(CART, *crowd(range(60)))
    first = sealed(desk.plan("ct"))
    desk.apply(first)
    desk.wait()
    desk.let_in(CART, *crowd(range(20)))
    held = sealed(desk.plan("ct"))
    file = held.folder / "ct.csv"
    if is_gone:
        file.unlink()
    else:
        file.write_text(file.read_text() + " ")
    with pytest.raises(PlanError, match=r"ct\.csv (was changed after|is missing).*`relay plan`"):
        desk.apply(held, "ct")
    desk.wait(minutes=1)
    again = desk.plan("ct")
    assert next_step(sealed(again)).endswith(f"relay apply {sealed(again).plan_id} --approve ct")
    assert outcomes(desk.apply(sealed(again), "ct"), "ct") == "delivered 40"
    # What a person may have changed of a delivered plan is not what an undo goes by.
    (first.folder / "ct.csv").unlink()
    assert one(desk.undo(first), "ct").removed == 20


def test_an_approval_is_of_one_plan_and_dies_with_it(open_desk: Open) -> None:
    desk = open_desk()
    desk.let_in(CART, *crowd(range(60)))
    desk.sync()
    desk.wait()
    desk.let_in(CART, *crowd(range(20)))
    first = sealed(desk.plan("ct"))
    desk.vendors.answers["clevertap.test"] = [httpx.Response(401)]
    desk.apply(first, "ct")
    with Ledger.open(desk.settings.home) as ledger:
        approved = [line for line in ledger.lines() if line.kind == "approved"]
    assert [line.detail for line in approved] == [{"plan_hash": first.plan_hash}]
    desk.let_in(CART, *crowd(range(10)))
    second = desk.plan("ct")
    assert one(second, "ct").reason == "would remove 50 of 60, limit 30 %"
    assert outcomes(desk.apply(sealed(second)), "ct") == "held 50"
    assert desk.confirmed("ct") == crowd(range(60))


@pytest.mark.parametrize("later", ["put right", "archived", "other changes"])
def test_what_a_later_look_finds_ends_a_held_plan(open_desk: Open, later: str) -> None:
    desk = open_desk()
    desk.let_in(CART, *crowd(range(60)))
    desk.sync()
    desk.wait()
    desk.let_in(CART, *crowd(range(11)))
    bad = sealed(desk.plan("ct"))
    assert outcomes(desk.apply(bad), "ct") == "held 49"
    desk.wait()
    desk.let_in(CART, *crowd(range(61 if later == "other changes" else 60)))
    desk.cohorts[CART].is_archived = later == "archived"
    desk.plan("ct")
    desk.rebuild_ledger()
    assert desk.read(
        "select held_count, pending_count, superseded_count from ledger.plan_outcomes"
        " where plan_id = ?",
        bad.plan_id,
    ) == [(0, 0, 49)]
    result = desk.apply(bad, "ct")
    assert (outcomes(result, "ct"), result.exit_code) == ("superseded 49", 1)
    assert desk.confirmed("ct") == crowd(range(60))
    # It is said once: what has ended is not ended again.
    with Ledger.open(desk.settings.home) as ledger:
        seq = ledger.last_seq
    desk.plan("ct")
    with Ledger.open(desk.settings.home) as ledger:
        assert later == "put right" or ledger.last_seq == seq


def test_a_held_sync_is_decided_about_in_the_plan_that_holds_it(open_desk: Open) -> None:
    desk = open_desk()
    desk.let_in(CART, *crowd(range(60)))
    desk.sync()
    desk.wait()
    desk.let_in(CART, *crowd(range(20)))
    held = sealed(desk.plan("ct"))
    desk.wait()
    desk.let_in(LOYAL, "ann")
    other = sealed(desk.plan())
    with pytest.raises(ConfigurationError, match=f"no rows of ct; it is held in {held.plan_id}"):
        desk.apply(other, "ct")
    with pytest.raises(ConfigurationError, match=f"no rows of ct; it is held in {held.plan_id}"):
        desk.confirm(other, "ct")
    assert outcomes(desk.apply(other), "moe") == "delivered 1"
    # Without its name it is not confirmed either: somebody has to say that it was uploaded.
    assert desk.confirm(held) == {}
    assert desk.confirm(held, "ct") == {"ct": 40}


def test_who_is_suppressed_after_sealing_is_not_sent(open_desk: Open) -> None:
    desk = open_desk()
    suppress = desk.folder / "suppress.csv"
    suppress.write_text("id_type,id_value,match\nuser_id,cy,exact\n")
    desk.syncs += "suppress: suppress.csv\n"
    desk.let_in(CART, "ann", "bo")
    plan = sealed(desk.plan("ct"))
    suppress.write_text("id_type,id_value,match\nuser_id,cy,exact\nuser_id,bo,exact\n")
    result = desk.apply(plan)
    assert outcomes(result, "ct") == "superseded 2"
    assert "the suppression list changed" in result.failures[0].message
    desk.cohorts[CART].members["bo"] = "suppressed"
    desk.wait(minutes=1)
    assert outcomes(desk.sync(), "ct") == "delivered 1"
    # Who is taken out may be taken out whatever the list says.
    desk.wait()
    desk.let_in(CART)
    plan = sealed(desk.plan("ct"))
    suppress.write_text("id_type,id_value,match\n")
    assert outcomes(desk.apply(plan), "ct") == "delivered 1"


def test_a_sync_keeps_its_destination_while_it_has_members_there(open_desk: Open) -> None:
    desk = open_desk()
    desk.let_in(CART, "ann", "bo")
    desk.sync()
    desk.wait()
    desk.syncs = desk.syncs.replace("cart, destination: clevertap", "cart, destination: moengage")
    with pytest.raises(ConfigurationError, match=r"ct was sent to clevertap until now.*moengage"):
        desk.plan()
    desk.syncs = SYNCS
    desk.let_in(CART)
    desk.sync()
    desk.syncs = desk.syncs.replace("cart, destination: clevertap", "cart, destination: moengage")
    desk.wait()
    desk.let_in(CART, "ann")
    assert rows_of(sealed(desk.plan()), "ct") == [("added", "ann", "entered")]


@pytest.mark.parametrize(
    ("guard", "before", "after", "reason"),
    [
        ("{}", 50, 201, "would add 151 of 50, limit 300 %"),
        ("{max_removed_percent: 2.5}", 80, 77, "would remove 3 of 80, limit 2.5 %"),
        ("{min_members: 81}", 80, 7, None),
    ],
)
def test_the_guard_looks_at_shares_of_what_is_confirmed(
    open_desk: Open, guard: str, before: int, after: int, reason: str | None
) -> None:
    syncs = "version: 1\ncohort_syncs:\n  - {name: ct, cohort_id: cart, destination: clevertap,"
    desk = open_desk(syncs=f"{syncs} guard: {guard}}}\n")
    desk.let_in(CART, *crowd(range(before)))
    desk.confirm(sealed(desk.plan()))
    desk.wait()
    kept = min(before, after)
    # Not both lists at once: the guard looks at each by itself.
    desk.let_in(CART, *crowd(range(kept), range(before, before + after - kept)))
    sync = one(desk.plan(), "ct")
    if after > before:
        assert (sync.removed, sync.added) == (0, after - before)
    assert (sync.state, sync.reason) == (("held" if reason else "ready"), reason)


def test_a_cohort_that_is_gone_removes_nobody(open_desk: Open) -> None:
    desk = open_desk()
    desk.let_in(CART, "ann", "bo")
    desk.sync()
    reasons = []
    for change in ({"is_archived": True}, {"vanished": True}, {"computed": 0}):
        desk.wait()
        desk.cohorts[CART] = replace(desk.cohorts[CART], members={}, computed=9)
        desk.cohorts[CART] = replace(desk.cohorts[CART], **change)
        outcome = desk.plan("ct")
        assert outcome.plan is None
        reasons.append(one(outcome, "ct").reason)
        assert one(outcome, "ct").state == "no_snapshot"
        desk.cohorts[CART] = replace(desk.cohorts[CART], is_archived=False, vanished=False)
    assert reasons == [
        "the cohort is archived in Amplitude",
        "Amplitude lists the cohort no more",
        "no snapshot was loaded yet",
    ]
    assert desk.confirmed("ct") == ["ann", "bo"]


# --- what is asked for --------------------------------------------------------------------------


def test_a_few_members_are_tried_first_and_the_rest_follows(open_desk: Open) -> None:
    desk = open_desk()
    desk.let_in(CART, "ann", "bo")
    desk.sync()
    desk.wait()
    desk.let_in(CART, "bo", "cy", "di", "eli")
    tried = desk.plan("ct", first=2)
    assert rows_of(sealed(tried), "ct") == [("added", "cy", "entered"), ("added", "di", "entered")]
    desk.apply(sealed(tried))
    assert rows_of(sealed(desk.plan("ct")), "ct") == [
        ("removed", "ann", "left_cohort"),
        ("added", "eli", "entered"),
    ]


def test_a_trial_is_no_run_of_the_schedule(open_desk: Open) -> None:
    desk = open_desk(syncs=SYNCS.replace("clevertap}", "clevertap, frequency: one_time}"))
    for cohort in (CART, LOYAL):
        desk.let_in(cohort, "ann", "bo", "cy")
    tried = desk.plan(first=1)
    assert sealed(tried).kind == "trial"
    assert tried.waiting == {"ct": 2, "moe": 2}
    assert "ct: 2 of 3 changes wait for a plan without --first" in plan_text(tried)
    desk.apply(sealed(tried))
    desk.wait(hours=1)
    outcome = desk.plan()
    assert [(sync.state, sync.added) for sync in outcome.syncs] == [("ready", 2)] * 2
    desk.apply(sealed(outcome))
    assert {sync.state for sync in desk.plan().syncs} == {"not_due"}
    # A run that stopped half way goes on, whatever was sealed since; and so do removals, where a
    # trial finds nobody to add.
    desk.wait()
    desk.let_in(LOYAL, "ann", "bo", "di", "eli")
    desk.vendors.answers["moengage.test"] = [httpx.Response(401)]
    desk.sync()
    assert [one(desk.plan(), "moe").state for _ in "ab"] == ["ready", "ready"]
    desk.apply(sealed(desk.plan("moe", first=1)))
    assert one(desk.plan(), "moe").state == "ready"
    desk.sync()
    desk.wait()
    desk.let_in(LOYAL, "ann", "bo", "di")
    tried = desk.plan("moe", first=5)
    assert (tried.plan, tried.waiting) == (None, {"moe": 1})
    assert (one(tried, "moe").state, one(tried, "moe").reason) == ("empty", "nobody to add")
    assert rows_of(sealed(desk.plan()), "moe") == [("removed", "eli", "left_cohort")]


def test_the_guard_judges_what_a_trial_would_do(open_desk: Open) -> None:
    desk = open_desk()
    desk.let_in(CART, *crowd(range(60)))
    desk.sync()
    desk.wait()
    desk.let_in(CART, *crowd(range(20), range(60, 300)))
    assert one(desk.plan("ct"), "ct").state == "held"
    assert one(desk.plan("ct", first=181), "ct").state == "held"
    assert one(desk.plan("ct", first=180), "ct").state == "ready"


@pytest.mark.parametrize(("first", "tried"), [(1, ["b", "b"]), (2, ["b", "b", "c"])])
def test_a_trial_takes_a_key_with_the_end_of_its_old_name(first: int, tried: list[str]) -> None:
    """Of Lytics' rows: `a` is a member already and only named anew, `z` is to be removed."""
    rows = [
        (1, 1, "renamed", "a"),
        (2, 1, "renamed", "b"),
        (3, 1, "removed", "z"),
        (4, 2, "renamed", "a"),
        (5, 2, "added", "b"),
        (6, 2, "added", "c"),
    ]
    with duckdb.connect() as connection:
        connection.execute("create schema payloads")
        connection.execute(
            "create table payloads.lytics_cohorts (position bigint, phase int, action varchar,"
            " match_key varchar, key_type varchar default 'user_id',"
            " sync_name varchar default 'ly')"
        )
        columns = "position, phase, action, match_key"
        connection.executemany(
            f"insert into payloads.lytics_cohorts ({columns}) values (?, ?, ?, ?)", rows
        )
        sync = PlanSync("ly", "cohort_sync", "lytics", None, None, None, None, 0, "ready", None)
        query = payload_query(sync, first, adopts=False)
        found = connection.execute(f"select {columns} from {query} order by position").fetchall()
    assert [row[3] for row in found] == tried
    assert [row[0] for row in found] == list(range(1, len(tried) + 1))
    assert [row[1] for row in found] == sorted(row[1] for row in found)


def test_an_adopted_segment_is_confirmed_and_nothing_is_sent(open_desk: Open) -> None:
    desk = open_desk()
    desk.let_in(CART, *crowd(range(60)))
    outcome = desk.plan(adopt=("ct",))
    assert "ct: 60 members recorded as confirmed; nothing is to be sent" in plan_text(outcome)
    plan = sealed(outcome)
    assert next_step(plan) == f"recorded in {plan.folder}; nothing is to be sent"
    assert [sync.name for sync in outcome.syncs] == ["ct"]
    assert {file.role for file in plan.files} == {"rows", "csv"}
    assert (one(outcome, "ct").state, one(outcome, "ct").reason) == ("adopted", None)
    result = desk.apply(plan)
    assert outcomes(result, "ct") == "delivered 60"
    assert [(one.state, one.reason) for one in result.syncs] == [
        ("adopted", "recorded as confirmed, nothing was sent")
    ]
    assert desk.vendors.log == []
    assert desk.confirmed("ct") == crowd(range(60))
    # They were there before the relay: it has nothing of its own to take back.
    with pytest.raises(PlanError, match=rf"{plan.plan_id} adopted ct: nothing was sent"):
        desk.undo(plan)
    desk.wait()
    assert one(desk.plan("ct"), "ct").state == "empty"
    desk.let_in(CART, *crowd(range(1, 60)))
    assert rows_of(sealed(desk.plan("ct")), "ct") == [("removed", "u000", "left_cohort")]


EVENTS = """\
event_imports:
  - {name: ev, destination: lytics}
"""


@pytest.mark.parametrize(
    ("change", "asked", "error", "message"),
    [
        (
            {"computed": 0},
            {},
            PlanError,
            "ct cannot be adopted: no snapshot was loaded yet;",
        ),
        ({"is_archived": True}, {}, PlanError, "ct cannot be adopted: the cohort is archived"),
        ({}, {"adopt": ("off",)}, PlanError, "off cannot be adopted: it is not enabled"),
        ({}, {"adopt": ("ev",)}, ConfigurationError, "--adopt ev: expected a sync of cohort_syncs"),
        ({}, {"first": 5}, ConfigurationError, "--first has no meaning with it; leave one"),
    ],
)
def test_what_cannot_be_adopted_is_refused_and_nothing_recorded(
    open_desk: Open,
    change: dict[str, Any],
    asked: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    off = "  - {name: off, cohort_id: loyal, destination: clevertap, enabled: false}\n"
    desk = open_desk(syncs=SYNCS + off + EVENTS)
    desk.let_in(CART, "ann")
    desk.cohorts[CART] = replace(desk.cohorts[CART], **change)
    with pytest.raises(error, match=message):
        desk.plan(**{"adopt": ("ct",), **asked})
    with Ledger.open(desk.settings.home) as ledger:
        assert list(ledger.lines()) == []


def test_a_refused_row_is_parked_until_it_is_asked_for_or_changes(open_desk: Open) -> None:
    desk = open_desk()
    desk.let_in(CART, "ann", "bo")
    desk.vendors.refuses = lambda record: record["identity"] == "BO"
    assert outcomes(desk.sync(), "ct") == "delivered 1 rejected 1"
    desk.wait()
    outcome = desk.plan()
    assert (outcome.plan, one(outcome, "ct").parked) == (None, 1)
    # Asked for by hand, they are due; who has none is not.
    asked = desk.plan(retry_rejected=True)
    assert [(sync.state, sync.added) for sync in asked.syncs] == [("ready", 1), ("not_due", 0)]
    for _ in range(2):
        assert notes(desk, "ct") == []
        retried = sealed(desk.plan("ct", retry_rejected=True))
        assert rows_of(retried, "ct") == [("added", "bo", "entered")]
        assert outcomes(desk.apply(retried), "ct") == "rejected 1"
        desk.wait()
    assert notes(desk, "ct") == ["1 rows were rejected three times with the same answer"]
    assert desk.plan("ct").plan is None
    # Another spelling is another payload: it goes by itself, and the note with it.
    desk.cohorts[CART].spelt["bo"] = "Bo"
    assert outcomes(desk.apply(sealed(desk.plan("ct"))), "ct") == "delivered 1"
    assert notes(desk, "ct") == []
    assert desk.confirmed("ct") == ["ann", "bo"]


def test_a_one_time_sync_runs_once(open_desk: Open) -> None:
    desk = open_desk(syncs=SYNCS.replace("clevertap}", "clevertap, frequency: one_time}"))
    desk.let_in(CART, "ann")
    desk.sync()
    desk.wait(days=40)
    desk.let_in(CART, "bo")
    for names in ((), ("ct",)):
        sync = one(desk.plan(*names), "ct")
        reason = "ran once, 2026-03-02T12:00:00Z; --force runs it again"
        assert (sync.state, sync.reason) == ("not_due", reason)
    forced = sealed(desk.plan("ct", force=True))
    assert {row[:2] for row in rows_of(forced, "ct")} == {("added", "bo"), ("removed", "ann")}


def test_what_is_to_go_once_waits_for_somebody_to_send(open_desk: Open) -> None:
    desk = open_desk(syncs=SYNCS.replace("clevertap}", "clevertap, frequency: one_time}"))
    desk.let_in(CART)
    assert one(desk.plan(), "ct").reason == "nothing to send"
    desk.wait()
    desk.let_in(CART, "ann")
    assert outcomes(desk.sync(), "ct") == "delivered 1"
    desk.wait()
    desk.let_in(CART, "ann", "bo")
    assert one(desk.plan(), "ct").state == "not_due"


def test_a_sync_that_does_not_exist_is_refused_by_name(open_desk: Open) -> None:
    with pytest.raises(ConfigurationError, match=r"no sync 'carts' in .*syncs.yml; known: ct, moe"):
        open_desk().plan("carts")


# --- a ledger that is lost ----------------------------------------------------------------------


def lose_ledger(desk: Desk) -> None:
    for file in desk.settings.home.ledger.iterdir():
        file.unlink()


MISSING = "ledger_missing: plans were sealed whose ledger is gone; approve, or adopt"


def test_a_lost_ledger_holds_every_sync_until_it_is_approved(open_desk: Open) -> None:
    desk = open_desk()
    desk.let_in(CART, "ann", "bo")
    desk.sync()
    lose_ledger(desk)
    desk.wait()
    desk.let_in(CART, "bo", "cy")
    held = desk.plan("ct")
    assert (one(held, "ct").state, one(held, "ct").reason) == ("held", MISSING)
    assert outcomes(desk.apply(sealed(held)), "ct") == "held 2"
    assert {row[0] for row in rows_of(sealed(held), "ct")} == {"added"}
    desk.apply(sealed(held), "ct")
    desk.wait()
    desk.let_in(CART, "cy")
    after = desk.plan("ct")
    assert one(after, "ct").state == "ready"
    assert rows_of(sealed(after), "ct") == [("removed", "bo", "left_cohort")]


@pytest.mark.parametrize("was_empty", [False, True])
def test_a_lost_ledger_is_given_up_by_adopting(open_desk: Open, was_empty: bool) -> None:
    desk = open_desk()
    desk.let_in(CART, *["ann"] * (not was_empty), "bo")
    desk.sync()
    lose_ledger(desk)
    desk.wait()
    desk.let_in(CART, *["ann"] * (not was_empty))
    assert one(desk.plan("ct"), "ct").state == ("empty" if was_empty else "held")
    adopted = desk.plan(adopt=("ct",))
    assert (adopted.plan is None) == was_empty
    desk.wait()
    desk.let_in(CART, "ann", "cy")
    after = one(desk.plan("ct"), "ct")
    assert (after.state, after.removed) == ("ready", 0)


def lose(file: Path, desk: Desk) -> Path:
    """Move a file or folder of the home away, to be put back."""
    return file.rename(desk.folder / f"lost-{file.name}")


@pytest.mark.parametrize("part", ["outbox/{}", "ledger/{}.ndjson"])
def test_what_is_lost_of_a_plan_holds_its_syncs_until_it_is_back(
    open_desk: Open, part: str
) -> None:
    desk = open_desk()
    desk.let_in(CART, "ann", "bo")
    first = sealed(desk.plan("ct"))
    desk.apply(first)
    desk.wait()
    desk.let_in(CART, "ann", "bo", "cy")
    desk.let_in(LOYAL, "dee")
    desk.sync()
    desk.wait()
    file = desk.settings.home.root / part.format(first.plan_id)
    lost = lose(file, desk)
    held = desk.plan("ct", "moe")
    missing = f"plan_missing: outbox/{first.plan_id} is gone, but something of it was sent; put it"
    reason = f"{missing} back, approve, or adopt" if "outbox" in part else MISSING
    assert (one(held, "ct").state, one(held, "ct").reason) == ("held", reason)
    # Of the other sync the plan sent nothing.
    assert one(held, "moe").state == "empty"
    assert outcomes(desk.apply(sealed(held)), "ct") == "held 2"
    # What the ledger told after it is known all the while.
    lost.rename(file)
    desk.wait()
    assert one(desk.plan("ct"), "ct").state == "empty"
    assert desk.confirmed("ct") == ["ann", "bo", "cy"]


@pytest.mark.parametrize("way", ["approve", "adopt"])
def test_a_lost_plan_is_given_up_by_approving_or_adopting(open_desk: Open, way: str) -> None:
    desk = open_desk()
    desk.let_in(CART, "ann", "bo")
    first = sealed(desk.plan("ct"))
    desk.apply(first)
    lose(first.folder, desk)
    desk.wait()
    if way == "approve":
        assert outcomes(desk.apply(sealed(desk.plan("ct")), "ct"), "ct") == "delivered 2"
    else:
        desk.plan(adopt=("ct",))
    desk.wait()
    desk.let_in(CART, "bo", "cy")
    after = desk.plan("ct")
    assert one(after, "ct").state == "ready"
    assert {row[:2] for row in rows_of(sealed(after), "ct")} == {
        ("added", "cy"),
        ("removed", "ann"),
    }


def test_events_too_are_held_when_what_was_sent_of_them_is_lost(open_desk: Open) -> None:
    desk = open_desk(syncs=f"{SYNCS}event_imports: [{{name: heard, destination: lytics}}]\n")
    desk.let_in(CART, "ann", "bo")
    desk.plan("ct")
    # Any rows will do.
    with warehouse.connect(desk.settings) as connection:
        connection.execute(
            "create view payloads.lytics_events as select * replace ('heard' as sync_name)"
            " from payloads.clevertap_cohort_changes where sync_name = 'ct'"
        )
    first = desk.plan("heard")
    assert one(first, "heard").state == "ready"
    assert desk.confirm(sealed(first), "heard") == {"heard": 2}
    lose(sealed(first).folder, desk)
    desk.wait()
    held = one(desk.plan("heard"), "heard")
    assert held.state == "held"
    assert held.reason is not None
    assert held.reason.startswith(f"plan_missing: outbox/{sealed(first).plan_id} is gone")


def test_a_plan_that_was_never_sent_may_go(open_desk: Open) -> None:
    desk = open_desk()
    desk.let_in(CART, "ann")
    lose(sealed(desk.plan("ct")).folder, desk)
    desk.wait()
    assert one(desk.plan("ct"), "ct").state == "ready"


# --- undo ---------------------------------------------------------------------------------------


def test_an_undo_is_the_inverse_and_pauses_its_sync(open_desk: Open) -> None:
    desk = open_desk()
    desk.let_in(CART, "ann", "bo")
    desk.sync()
    desk.wait()
    desk.let_in(CART, "bo", "cy")
    plan = sealed(desk.plan("ct"))
    desk.apply(plan)
    undone = sealed(desk.undo(plan))
    assert (undone.kind, undone.undoes) == ("undo", plan.plan_id)
    assert rows_of(undone, "ct") == [("removed", "cy", "undone"), ("added", "ann", "undone")]
    assert outcomes(desk.apply(undone), "ct") == "delivered 2"
    assert desk.confirmed("ct") == ["ann", "bo"]
    # Else the next plan would send the same again.
    desk.wait()
    paused = desk.plan("ct")
    assert paused.plan is None
    assert (one(paused, "ct").state, one(paused, "ct").reason) == (
        "paused",
        "paused until relay resume",
    )
    # What a paused sync sent can be taken back too: the undo itself.
    redone = desk.undo(undone)
    assert one(redone, "ct").state == "ready"
    assert outcomes(desk.apply(sealed(redone)), "ct") == "delivered 2"
    assert desk.confirmed("ct") == ["bo", "cy"]
    with Ledger.open(desk.settings.home) as ledger:
        assert resume(ledger, "ct", at=desk.at)
    assert one(desk.plan("ct"), "ct").state == "empty"


def test_an_undo_goes_through_the_guard_and_leaves_doubt_alone(open_desk: Open) -> None:
    desk = open_desk()
    desk.let_in(CART, *crowd(range(60)))
    first = sealed(desk.plan("ct"))
    desk.apply(first)
    desk.let_in(CART, *crowd(range(61)))
    desk.vendors.answers["clevertap.test"] = [httpx.ReadTimeout("no answer")]
    second = sealed(desk.plan("ct"))
    assert outcomes(desk.apply(second), "ct") == "unknown 1"
    assert desk.undo(second).plan is None
    undone = desk.undo(first)
    held = one(undone, "ct")
    assert (held.state, held.reason) == ("held", "would remove 60 of 60, limit 30 %")
    assert {row[0] for row in rows_of(sealed(undone), "ct")} == {"removed"}
    assert outcomes(desk.apply(sealed(undone)), "ct") == "held 60"
    assert outcomes(desk.apply(sealed(undone), "ct"), "ct") == "delivered 60"


def test_an_undo_that_cannot_be_whole_is_refused(open_desk: Open) -> None:
    desk = open_desk()
    desk.let_in(CART, "ann")
    plan = sealed(desk.plan("ct"))
    desk.apply(plan)
    desk.syncs = SYNCS.replace("clevertap}", "clevertap, enabled: false}")
    with pytest.raises(ConfigurationError, match="cannot be undone whole: ct is not"):
        desk.undo(plan)
    events = seal(desk.settings.home, [Sync("import", "lytics", [(2, 3)], kind="event_import")])
    with pytest.raises(PlanError, match="changed no segment"):
        desk.undo(events)
    lose_ledger(desk)
    with pytest.raises(LedgerError, match=f"ledger/{plan.plan_id}.ndjson is missing"):
        desk.undo(plan)


# --- time ---------------------------------------------------------------------------------------


def test_a_later_plan_tells_later_times_even_within_a_second(open_desk: Open) -> None:
    desk = open_desk()
    before = 0
    for step in range(3):
        desk.let_in(CART, "ann" if step % 2 else "bo", "always")
        plan = sealed(desk.plan("ct"))
        told = times(plan, "ct")
        assert min(min(seconds) for seconds in told.values()) > before
        if step:
            assert max(told["Removed"]) < min(told["Added"])
        before = max(max(seconds) for seconds in told.values())
        desk.apply(plan)
        # The clock hardly moves, or even goes back.
        desk.at += timedelta(seconds=0.4 if step else -5)


def test_a_plan_that_was_only_sealed_moves_no_clock(open_desk: Open) -> None:
    desk = open_desk()
    desk.let_in(CART, "ann")
    desk.let_in(LOYAL, "ann")
    first = sealed(desk.plan())
    assert first.created_at == "2026-03-02T12:00:00Z"
    assert sealed(desk.plan()).plan_id == first.plan_id


def test_hand_deliveries_are_members_from_then_on(open_desk: Open) -> None:
    desk = open_desk()
    desk.let_in(CART, "ann", "bo")
    assert desk.confirm(sealed(desk.plan("ct")), "ct") == {"ct": 2}
    desk.wait()
    desk.let_in(CART, "bo", "cy")
    desk.sync()
    desk.rebuild_ledger()

    def members(moment: timedelta | None) -> dict[str, str]:
        with duckdb.connect(str(desk.settings.home.database)) as connection:
            as_of = None if moment is None else NOW + moment
            document = members_of(connection, "ct", as_of)
        return {member["key_value"]: member["since"] for member in document["members"]}

    day, second = timedelta(days=1), timedelta(seconds=1)
    first, later = "2026-03-02T12:00:00Z", "2026-03-03T12:00:00Z"
    assert members(-second) == {}
    assert members(timedelta()) == members(day - second) == {"ANN": first, "BO": first}
    assert members(day) == members(None) == {"BO": first, "CY": later}
    with (
        duckdb.connect(str(desk.settings.home.database)) as connection,
        pytest.raises(ConfigurationError, match="no sync 'carts'"),
    ):
        members_of(connection, "carts", None)
