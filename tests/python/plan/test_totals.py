"""Every row of every plan in one of six outcomes: counted as it is told of, and told when it is not."""

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


def totals(desk: Desk) -> list[tuple[Any, ...]]:
    rows = desk.read(TOTALS)
    return [(*row[:2], *row[5:12]) for row in rows]


def live(desk: Desk) -> None:
    """Five plans: one refused in part, one lost, one never sent, and two that went well."""
    for step, members in enumerate(("abcd", "bcdx", "bc", "acx", "ab")):
        desk.let_in(CART, *members)
        plan = sealed(desk.plan("ct"))
        desk.vendors.refuses = lambda record, step=step: step == 0 and record["identity"] == "D"
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
    # From nothing but the files, all at once.
    desk.forget_warehouse()
    desk.build(desk.settings)
    desk.rebuild_ledger()
    assert totals(desk) == piece_by_piece


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
