"""Every row of every plan ends in one of six outcomes: counted as it is told of, missed if not."""

from typing import Any

import httpx
import pytest

from compiled import CompiledModels
from plan.desk import CART, Desk, Open, sealed

TOTALS = "select * from ledger.plan_outcomes order by plan_id, sync_name"
# The same, from the rows themselves.
ROWS = """
select
    plan_id,
    sync_name,
    count(*),
    count(*) filter (where outcome = 'delivered'),
    count(*) filter (where outcome = 'rejected'),
    count(*) filter (where outcome = 'unknown'),
    count(*) filter (where outcome = 'held'),
    count(*) filter (where outcome = 'pending'),
    count(*) filter (where outcome = 'superseded')
from ledger.row_outcomes
group by plan_id, sync_name
order by plan_id, sync_name
"""
PROMISE = "planned_rows_end_in_one_outcome"


REPORTS = ("deliveries", "confirmed_memberships", "key_differences", "parity")
# The generation counts how often files were missed; it says nothing of what is in them.
TABLES = {
    "cohorts.membership_changes": "*",
    "cohorts.sync_totals": "*",
    "payloads.clevertap_cohort_changes": "*",
    "ledger.key_states": "* exclude (generation)",
    "ledger.row_outcomes": "*",
    "ledger.plan_totals": "* exclude (generation)",
    "ledger.segments": "* exclude (generation)",
    "ledger.syncs": "*",
    **{f"reports.{report}": "*" for report in REPORTS},
}


def picture(desk: Desk) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of what is derived from plans and the ledger."""
    return {
        table: desk.read(f"select {columns} from {table} order by all")
        for table, columns in TABLES.items()
    }


def assert_parity(desk: Desk) -> None:
    """From Amplitude's count to what is confirmed, step by step, and every step told."""
    steps = desk.read(
        "select amplitude_count, kind, difference, confirmed_count from reports.parity"
        " where sync_name = 'ct'"
    )
    ((amplitude, confirmed),) = {(step[0], step[3]) for step in steps}
    assert amplitude + sum(step[2] for step in steps) == confirmed
    assert (amplitude, confirmed) == (10, len(desk.confirmed("ct")))
    told = {step[1] for step in steps}
    assert {"accepted_snapshot", "unidentifiable", "unaddressable", "suppressed"} <= told
    assert {"same_key", "to_add", "to_remove"} <= told


def totals(desk: Desk) -> list[tuple[Any, ...]]:
    rows = desk.read(TOTALS)
    return [(*row[:2], *row[5:12]) for row in rows]


def refuse_d(record: dict[str, Any]) -> bool:
    return bool(record["identity"] == "D")


def refuse_nobody(record: dict[str, Any]) -> bool:
    return False


def live(desk: Desk) -> None:
    """Five plans: one refused in part, one lost, one never sent, and two that went well."""
    for step, members in enumerate(("abcd", "bcdx", "bc", "acx", "ab")):
        desk.let_in(CART, *members)
        plan = sealed(desk.plan("ct"))
        desk.vendors.refuses = refuse_d if step == 0 else refuse_nobody
        lost = httpx.ReadTimeout("no answer")
        desk.vendors.answers["clevertap.test"] = [lost] if step == 1 else []
        if step != 2:
            desk.apply(plan)
        desk.rebuild_ledger()
        desk.wait()


def test_the_totals_are_those_of_the_rows_however_they_came_about(
    open_desk: Open, models_built_again: CompiledModels
) -> None:
    desk = open_desk()
    live(desk)
    piece_by_piece = totals(desk)
    assert piece_by_piece == desk.read(ROWS)
    delivered, rejected, unknown, superseded = (
        sum(row[column] for row in piece_by_piece) for column in (3, 4, 5, 8)
    )
    assert min(delivered, rejected, unknown, superseded) > 0
    assert desk.read(models_built_again.test(PROMISE)) == []


def test_deleted_and_built_again_the_warehouse_says_the_same(open_desk: Open) -> None:
    desk = open_desk()
    live(desk)
    desk.let_in(CART, *"adx")
    nobody = {"n1": "no_key", "n2": "no_key", "s": "suppressed", "twin of a": "a"}
    desk.cohorts[CART].members |= nobody
    # Two profiles of one person, one of nobody, and one that the file lacked.
    desk.cohorts[CART].rows, desk.cohorts[CART].declared = 9, 10
    desk.build(desk.settings)
    desk.rebuild_ledger(*(f"reports__{report}" for report in REPORTS))
    before = picture(desk)
    assert all(before.values())
    assert_parity(desk)
    # Nothing is left but what was landed, sealed and written into the ledger.
    desk.forget_warehouse()
    desk.build(desk.settings)
    desk.rebuild_ledger(*(f"reports__{report}" for report in REPORTS))
    assert picture(desk) == before


@pytest.mark.parametrize(
    "damage",
    [
        "delete from raw.plan_rows where match_key = 'bo'",
        "insert into raw.plan_rows select * from raw.plan_rows where match_key = 'bo'",
        "update raw.plan_syncs set planned = 3 where sync_name = 'ct'",
    ],
)
def test_a_row_that_is_lost_or_doubled_stops_the_build(
    open_desk: Open, models_built_again: CompiledModels, damage: str
) -> None:
    desk = open_desk()
    desk.let_in(CART, "ann", "bo")
    plan = sealed(desk.plan("ct"))
    desk.apply(plan)
    desk.read(damage)
    desk.rebuild_ledger()
    offenders = desk.read(models_built_again.test(PROMISE))
    assert [offender[:2] for offender in offenders] == [(plan.plan_id, "ct")]
