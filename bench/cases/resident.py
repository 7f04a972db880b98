"""`relay sync` again and again in one process, against emulators; and the build that it runs."""

import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from bench.case import Case, Figure, expect
from bench.measuring import Cost, Side, alternate, best_wall, median_cpu, timed
from relay import warehouse
from relay.emulate import AmplitudeSwitches, Clock, Emulators, MoengageSwitches
from relay.plan.build import build
from relay.plan.make import PlanRequest
from relay.settings import Settings, load_settings
from relay.sync import SyncOutcome, sync

COHORT = "1638361188"
NOON = datetime.fromisoformat("2026-03-02T12:00:00+00:00")
CHANGED = 200
# A build with nothing new takes a tenth of a second, so that few of them say little.
BUILD_ROUNDS = 11
# Apart by more than the pace at which 500 downloads a month are spent.
STEP = timedelta(hours=2)
SYNCS = f"""
version: 1
amplitude: {{backfill_days: 1}}
cohort_syncs:
  - {{name: cart-to-moengage, cohort_id: "{COHORT}", destination: moengage, frequency: real_time}}
"""


def prepare(folder: Path, size: int) -> None:
    """A home with an event of each member, and one without anything."""
    for name, syncs in (("home", SYNCS), ("empty", "version: 1\n")):
        (folder / name).mkdir()
        (folder / name / "syncs.yml").write_text(syncs, encoding="utf-8")
    settings = load_settings(folder / "home", environ={"RELAY_NOW": NOON.isoformat()})
    with warehouse.connect(settings) as connection:
        connection.execute(
            """
            insert into raw.amplitude_events by name
            select
                cast(md5(cast(number as varchar)) as uuid) as uuid,
                829528 as app,
                number as amplitude_id,
                'user-' || number as user_id,
                'Visit' as event_type,
                timestamp '2026-02-01' + to_seconds(number % 2000000) as event_time,
                event_time as server_upload_time,
                '{}' as event_properties,
                '{}' as user_properties,
                'made' as source_file,
                number as line_number,
                1 as load_id,
                event_time as loaded_at
            from range(1, $size + 1) as numbers(number)
            """,
            {"size": size},
        )


def measure(folder: Path, size: int, rounds: int) -> list[Figure]:
    """The first sync sends everybody; then come syncs with nothing new, and with a few changes."""
    with _vendors() as vendors:
        _compute(vendors, folder, 0, size)
        vendors.moengage.add_users(f"user-{number}" for number in range(1, size + 1 + 100_000))
        first = _sync(folder, vendors, 0)
        expect("first sync", _sent(first), (size, 0))
        nothing, changed = [], []
        step = 1
        for round_number in range(rounds):
            with timed() as cost:
                outcome = _sync(folder, vendors, step)
            expect("nothing new", _sent(outcome), (0, 0))
            nothing.append(cost)
            step += 1
            _compute(vendors, folder, step, size, moved=(round_number + 1) * CHANGED // 2)
            with timed() as cost:
                outcome = _sync(folder, vendors, step)
            expect("few changed", _sent(outcome), (CHANGED // 2, CHANGED // 2))
            changed.append(cost)
            step += 1
            _check_segment(vendors, size, (round_number + 1) * CHANGED // 2)
        build_figure = _build_figure(folder, vendors, size, rounds, step)
    return [
        _figure("resident_nothing_new", size, nothing, "one cohort, one sync"),
        _figure(
            "resident_few_changed",
            size,
            changed,
            f"{CHANGED} changed members; the whole cohort is downloaded again",
        ),
        build_figure,
    ]


def _build_figure(folder: Path, vendors: Emulators, size: int, rounds: int, step: int) -> Figure:
    """A build with nothing new, against a build of a home without anything."""
    ours = _settings(folder / "home", vendors, step)
    empty = load_settings(folder / "empty", environ={"RELAY_NOW": NOON.isoformat()})

    def run(settings: Settings) -> int:
        with warehouse.lock(settings.home, "relay build"):
            return build(settings)

    def check(_: int) -> None:
        with duckdb.connect(str(ours.home.database)) as connection:
            ((changes,),) = connection.execute(
                "select count(*) from cohorts.membership_changes"
            ).fetchall()
            ((confirmed,),) = connection.execute(
                "select count(*) from ledger.confirmed_keys where is_confirmed"
            ).fetchall()
        expect("changes and confirmed", (changes, confirmed), (0, size))

    # The first build of a home makes everything.
    run(empty)
    pairs = alternate(
        Side(lambda: run(ours), check),
        Side(lambda: run(empty), lambda _: None),
        max(rounds, BUILD_ROUNDS),
    )
    ratios = sorted(pairs.ratios())
    return Figure(
        "dbt_build_no_new_hours",
        size,
        ratios[len(ratios) // 2],
        median_cpu(pairs.ours),
        best_wall(pairs.ours),
        ratios[0],
        ratios[-1],
        against=f"an empty home, {median_cpu(pairs.theirs):.2f} CPU s",
        note="in one process, its project parsed before",
    )


@contextmanager
def _vendors() -> Iterator[Emulators]:
    clock = Clock(NOON, frozen=True)
    with Emulators(
        clock=clock,
        amplitude=AmplitudeSwitches(cohort_polls=0),
        moengage=MoengageSwitches(cohort_requests_a_minute=None),
    ) as vendors:
        yield vendors


def _settings(home: Path, vendors: Emulators, step: int) -> Settings:
    now = NOON + step * STEP
    vendors.clock.set(now)
    return load_settings(home, environ={**vendors.environ, "RELAY_NOW": now.isoformat()})


def _sync(folder: Path, vendors: Emulators, step: int) -> SyncOutcome:
    settings = _settings(folder / "home", vendors, step)
    return sync(settings, PlanRequest(), threading.Event())


def _compute(vendors: Emulators, folder: Path, step: int, size: int, moved: int = 0) -> None:
    """Let Amplitude compute the cohort: `size` members, of whom the lowest have moved on."""
    path = folder / f"cohort-{step}.csv"
    duckdb.sql(
        "copy (select number as amplitude_id, 'user-' || number as user_id from"
        f" range({moved + 1}, {moved + size + 1}) as numbers(number)) to '{path}' (header true)"
    )
    vendors.amplitude.set_cohort(
        COHORT,
        "Cart drop-off",
        last_computed=NOON + step * STEP,
        file=path,
        size=size,
    )


def _sent(outcome: SyncOutcome) -> tuple[int, int]:
    """Additions and removals that were delivered."""
    if outcome.applied is None:
        return 0, 0
    (of_plan,) = (one for one in outcome.plan.syncs if one.name == "cart-to-moengage")
    (of_apply,) = outcome.applied.syncs
    expect("delivered", of_apply.delivered, of_plan.added + of_plan.removed)
    return of_plan.added, of_plan.removed


def _check_segment(vendors: Emulators, size: int, moved: int) -> None:
    """The segment has who is in the cohort and nobody else."""
    members = vendors.moengage.members("[Amplitude][Cart drop-off]")
    truth = {f"user-{number}" for number in range(moved + 1, moved + size + 1)}
    expect("missing and surplus members", (len(truth - members), len(members - truth)), (0, 0))


def _figure(name: str, size: int, costs: list[Cost], note: str) -> Figure:
    walls = [cost.wall for cost in costs]
    return Figure(
        name,
        size,
        statistics.median(walls),
        median_cpu(costs),
        best_wall(costs),
        min(walls),
        max(walls),
        note=f"{note}; emulators in the same process",
    )


CASE = Case(
    name="resident",
    what="`relay sync` and build in one process, little or nothing new",
    sizes=(5_000, 50_000),
    prepare=prepare,
    measure=measure,
    rounds=2,
)
