"""The diff of five syncs: against one full join and one sync, after much history, unchanged."""

from collections.abc import Callable
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from bench.case import Case, Figure, expect
from bench.data.membership import SYNCS, Membership
from bench.measuring import Pairs, Side, alternate, best_wall, median_cpu
from compiled import CompiledModels
from relay.settings import Environment

FEW_PLANS, MANY_PLANS = 10, 200
# Up to here many plans are laid out too, and polars and plain Python are asked: above, one run of
# all cases would take too long.
MEMBERS_WITH_HISTORY = 200_000
# The least that finds what differs: the keys of all five syncs, wanted and confirmed.
ONE_FULL_JOIN = """
    create or replace table joined as
    select
        coalesce(wanted.sync_name, confirmed.sync_name) as sync_name,
        coalesce(wanted.match_key, confirmed.match_key) as match_key,
        if(confirmed.match_key is null, 'added', 'removed') as action
    from (select sync_name, key_type, match_key from identity.keys where status = 'ok') as wanted
    full join confirmed
        on wanted.sync_name = confirmed.sync_name
            and wanted.key_type = confirmed.key_type
            and wanted.match_key = confirmed.match_key
    where wanted.match_key is null or confirmed.match_key is null
"""


def prepare(folder: Path, size: int) -> None:
    """One cohort after few plans, with five syncs and with one; after many, unless it is large."""
    models = _models(folder)
    memberships = [_membership(folder, size, FEW_PLANS), _with_one_sync(folder, size)]
    if size <= MEMBERS_WITH_HISTORY:
        memberships.append(_membership(folder, size, MANY_PLANS))
    for membership in memberships:
        membership.make(models)
        with duckdb.connect(str(membership.path)) as connection:
            connection.execute(
                "create table confirmed as select sync_name, key_type, match_key from present_keys"
            )


def measure(folder: Path, size: int, rounds: int) -> list[Figure]:
    """Each diff in a transaction that is taken back, so that every round finds the same."""
    models = _models(folder)
    few = _membership(folder, size, FEW_PLANS)
    of_one = _with_one_sync(folder, size)
    with _one_thread(few) as after_few:
        figures = []
        if size <= MEMBERS_WITH_HISTORY:
            history = _history(
                folder, size, rounds, _diff(few, after_few, models, "next", folds=True)
            )
            name = "diff_history"
            figures.append(_figure(name, size, history, f"the diff after {FEW_PLANS} plans"))
        few.want(after_few, "present")
        few.diff(after_few, models, folds=True)
        whole = _diff(few, after_few, models, "next")
        moved = _diff(few, after_few, models, "next", anew=False)
        joined = _taken_back(
            after_few,
            lambda: after_few.execute(ONE_FULL_JOIN),
            lambda: few.check(after_few, "joined", "next"),
            before=lambda: few.want(after_few, "next"),
        )
        against_join = alternate(moved, joined, rounds, warm_up=True)
        all_against_join = alternate(whole, joined, rounds, warm_up=True)
        one_join = median_cpu(against_join.theirs)
        with _one_thread(of_one) as after_one:
            of_one.diff(after_one, models, folds=True)
            each = [
                _each_destination(name, size, pairs, one_join)
                for name, pairs in {
                    "diff_each_destination": alternate(
                        _finding(few, after_few, models),
                        _finding(of_one, after_one, models),
                        rounds,
                        warm_up=True,
                    ),
                    "diff: what each further destination adds, changes written down": alternate(
                        moved,
                        _diff(of_one, after_one, models, "next", anew=False),
                        rounds,
                        warm_up=True,
                    ),
                }.items()
            ]
        unchanged = alternate(_diff(few, after_few, models, "present"), whole, rounds)
        few_moved = alternate(
            _diff(few, after_few, models, "few", anew=False), whole, rounds, warm_up=True
        )
        yardstick = f"one full outer join of the keys of all {len(SYNCS)} syncs"
        return [
            _figure("diff_five_destinations", size, against_join, yardstick),
            *each,
            _figure("diff_all_keys", size, all_against_join, yardstick),
            *figures,
            _figure("diff_unchanged", size, unchanged, "the diff of all keys"),
            _figure("diff_few", size, few_moved, "the diff of all keys"),
            *(_peers(few, after_few, size) if size <= MEMBERS_WITH_HISTORY else []),
        ]


def _history(folder: Path, size: int, rounds: int, after_few: Side[None]) -> Pairs:
    """After many plans against after few, both with the fold of one plan more."""
    many = _membership(folder, size, MANY_PLANS)
    with _one_thread(many) as connection:
        after_many = _diff(many, connection, _models(folder), "next", folds=True)
        return alternate(after_many, after_few, rounds, warm_up=True)


def alone(folder: Path, size: int) -> None:
    """The diff of who moved, and of all keys, in an engine with the limit that dbt's has."""
    membership = _membership(folder, size, FEW_PLANS)
    models = _models(folder)
    with duckdb.connect(str(membership.path)) as connection:
        connection.execute(f"set memory_limit = '{Environment().relay_memory}'")
        for anew in (False, True):
            _diff(membership, connection, models, "next", anew=anew, folds=True).once()


def _models(folder: Path) -> CompiledModels:
    return CompiledModels.with_incremental_branches(folder.parent / "compiled")


def _membership(folder: Path, size: int, plans: int) -> Membership:
    return Membership(folder / f"after-{plans}.duckdb", size, plans)


def _with_one_sync(folder: Path, size: int) -> Membership:
    """As after few plans."""
    name, sync = list(SYNCS.items())[-1]
    return Membership(folder / "one-sync.duckdb", size, FEW_PLANS, {name: sync})


def _one_thread(membership: Membership) -> DuckDBPyConnection:
    """Open it with one thread of the engine, for both sides: CPU seconds are to be those of work.

    A thread that waits for another polls meanwhile, and short statements, of which a diff has many,
    leave the second one waiting most of the time.
    """
    return duckdb.connect(str(membership.path), config={"threads": 1})


def _diff(
    membership: Membership,
    connection: DuckDBPyConnection,
    models: CompiledModels,
    state: str,
    *,
    anew: bool = True,
    folds: bool = False,
) -> Side[None]:
    """What a build runs in the rooms `ledger` and `cohorts`, on tables that were built before.

    With `anew` identity has made every key anew, so that all of them are compared.
    """
    return _taken_back(
        connection,
        lambda: membership.diff(connection, models, folds=folds),
        lambda: membership.check(connection, "cohorts.membership_changes", state),
        before=lambda: membership.want(connection, state, anew=anew),
    )


def _finding(
    membership: Membership, connection: DuckDBPyConnection, models: CompiledModels
) -> Side[None]:
    """What a build runs up to the keys that differ, after a snapshot of which a hundredth moved."""
    found = "(select sync_name, list_name as action, match_key from cohorts.compared_keys)"
    return _taken_back(
        connection,
        lambda: membership.find(connection, models),
        lambda: membership.check(connection, found, "next"),
        before=lambda: membership.want(connection, "next", anew=False),
    )


def _taken_back(
    connection: DuckDBPyConnection,
    run: Callable[[], object],
    check: Callable[[], None],
    before: Callable[[], None],
) -> Side[None]:
    def begin() -> None:
        before()
        connection.execute("begin transaction")

    def work() -> None:
        run()

    def check_and_take_back(_: None) -> None:
        check()
        connection.execute("rollback")

    return Side(work, check_and_take_back, before=begin)


def _figure(
    name: str, size: int, pairs: Pairs, yardstick: str, values: list[float] | None = None
) -> Figure:
    """The median of the rounds' values, which are the pairs' ratios unless they are given."""
    values = sorted(pairs.ratios() if values is None else values)
    return Figure(
        name,
        size,
        values[len(values) // 2],
        median_cpu(pairs.ours),
        best_wall(pairs.ours),
        values[0],
        values[-1],
        against=f"{yardstick}, {median_cpu(pairs.theirs):.2f} CPU s",
        note="with the fold of the last plan's answers" if name == "diff_history" else "",
    )


def _each_destination(name: str, size: int, pairs: Pairs, one_join: float) -> Figure:
    """What each sync but the first costs, as a share of the join of all five."""
    shares = [
        (five.cpu - one.cpu) / (len(SYNCS) - 1) / one_join
        for five, one in zip(pairs.ours, pairs.theirs, strict=True)
    ]
    return _figure(name, size, pairs, f"the join, {one_join:.2f} CPU s; one sync", shares)


def _peers(membership: Membership, connection: DuckDBPyConnection, size: int) -> list[Figure]:
    """What one would write by hand: polars anti joins, and sets in a plain loop."""
    membership.want(connection, "next")
    sides = {
        "polars: two anti joins a sync, from and to Python": _polars_diff,
        "plain Python: sets of keys": _set_diff,
    }
    moved = size // 100
    figures = []
    for name, diff in sides.items():
        side = Side(
            lambda diff=diff: diff(connection),  # type: ignore[misc]
            lambda found: expect("changes", found, dict.fromkeys(SYNCS, (moved, moved))),
        )
        costs = [side.once() for _ in range(2)]
        figures.append(Figure(name, size, best_wall(costs), median_cpu(costs), unit="s"))
    return figures


def _polars_diff(connection: DuckDBPyConnection) -> dict[str, tuple[int, int]]:
    keys = "select sync_name, key_type, match_key"
    wanted = connection.execute(f"{keys} from identity.keys where status = 'ok'").pl()
    confirmed = connection.execute(f"{keys} from confirmed").pl()
    on = ["key_type", "match_key"]
    changes = {}
    for sync in SYNCS:
        now, before = (side.filter(side["sync_name"] == sync) for side in (wanted, confirmed))
        added, removed = now.join(before, on=on, how="anti"), before.join(now, on=on, how="anti")
        changes[sync] = (len(added), len(removed))
    return changes


def _set_diff(connection: DuckDBPyConnection) -> dict[str, tuple[int, int]]:
    changes = {}
    for sync in SYNCS:
        now, before = (
            set(connection.execute(f"select key_type, match_key from {t}", [sync]).fetchall())
            for t in ("identity.keys where sync_name = ?", "confirmed where sync_name = ?")
        )
        changes[sync] = (len(now - before), len(before - now))
    return changes


CASE = Case(
    name="diff",
    what="five syncs of one cohort: what is to be added and removed",
    sizes=(100_000, 1_000_000),
    prepare=prepare,
    measure=measure,
    alone=alone,
    rounds=2,
)
