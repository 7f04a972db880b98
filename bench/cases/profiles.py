"""Lytics' profiles after few new events, against a full rebuild.

The goal is told for 10,000 new events on 8 M. A build of so many does not fit into a benchmark, so
it is scaled: one new event on 800. The same people come every day: some 20 events each, and whose
the new ones are is a matter of chance.
"""

from datetime import UTC, datetime
from pathlib import Path

import duckdb

from bench.case import Case, Figure, expect
from bench.data.events import make_lines
from bench.engine import build_models, cost_of
from bench.measuring import Cost, best_wall, median_cpu, timed
from relay import warehouse
from relay.plan.dbt import run_dbt
from relay.settings import Settings, load_settings

ONE_NEW_IN = 800
DAYS = 4
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
SYNCS = """\
version: 1
event_imports:
  - {name: events-to-lytics, destination: lytics, backfill_days: 90, keep_updated: true}
"""
SELECTED = ("--select", "+payloads__lytics_user_profiles")
ROOMS = ("fields__lytics_", "payloads__lytics_", "stg_amplitude__distinct_events")


def prepare(folder: Path, size: int) -> None:
    """A home with `size` events of some days, its seeds and models built once."""
    (folder / "syncs.yml").write_text(SYNCS, encoding="utf-8")
    settings = _settings(folder)
    for day in range(DAYS):
        _add_events(settings, size // DAYS, day, a_day=size // DAYS)
    with warehouse.lock(settings.home, "bench"):
        run_dbt(settings, ["seed"])
        run_dbt(settings, ["run", *SELECTED])


def measure(folder: Path, size: int, rounds: int) -> list[Figure]:
    """Add events and build, build everything anew, and so on; both give the same profiles.

    Counted is what the models of Lytics cost the engine; identity has a case of its own.
    """
    settings = _settings(folder)
    few = size // ONE_NEW_IN
    ours: list[Cost] = []
    theirs: list[Cost] = []
    for number in range(1, rounds + 1):
        _add_events(settings, few, DAYS - 1 + number, a_day=size // DAYS)
        ours.append(_build(settings))
        carried_on = _digest(settings)
        theirs.append(_build(settings, "--full-refresh"))
        expect("profiles", carried_on, _digest(settings))
        expect("events in profiles", carried_on[0], size + number * few)
    ratios = sorted(a.cpu / b.cpu for a, b in zip(ours, theirs, strict=True))
    return [
        Figure(
            "lytics_profiles",
            size,
            ratios[len(ratios) // 2],
            median_cpu(ours),
            best_wall(ours),
            ratios[0],
            ratios[-1],
            against=f"everything anew, {median_cpu(theirs):.2f} CPU s",
            note=f"{few} new events; from staged events and persons to profiles, within the engine",
        )
    ]


def _settings(folder: Path) -> Settings:
    return load_settings(folder, environ={"RELAY_NOW": NOW.isoformat()})


def _build(settings: Settings, *arguments: str) -> Cost:
    with warehouse.lock(settings.home, "bench"), timed() as cost:
        costs = build_models(settings, *SELECTED, *arguments)
    return Cost(cost_of(costs, lambda name: name.startswith(ROOMS)), cost.wall)


def _add_events(settings: Settings, count: int, day: int, *, a_day: int) -> None:
    """One load more: so many of a day's events, every uuid once, as a load leaves them."""
    with (
        warehouse.lock(settings.home, "bench"),
        warehouse.connect(settings) as connection,
    ):
        # The export gives some lines twice, so a little more of it is made.
        make_lines(connection, a_day + a_day // 100 + 10, day)
        connection.execute(
            "insert into raw.amplitude_events by name"
            " select * exclude (line), 'made' as source_file, line as line_number,"
            " ? as load_id, timestamp '2026-03-02' as loaded_at from ("
            "select * from (select distinct on (uuid) * from lines where line % 200 != 77)"
            " order by hash(line) limit ?)",
            [day + 1, count],
        )


def _digest(settings: Settings) -> tuple[int, int, int]:
    """Events and profiles counted, and the profiles summed."""
    with duckdb.connect(str(settings.home.database)) as connection:
        ((events,),) = connection.execute(
            "select sum(events_count) from fields.lytics_event_fragments"
        ).fetchall()
        ((profiles, total),) = connection.execute(
            "select count(*), sum(hash(profile_id, user_fields)) from payloads.lytics_user_profiles"
        ).fetchall()
    return int(events), profiles, int(total)


CASE = Case(
    name="profiles",
    what="Lytics' profiles after few new events, against everything anew",
    sizes=(20_000, 150_000),
    prepare=prepare,
    measure=measure,
    rounds=1,
)
