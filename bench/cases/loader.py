"""The event loader, against the bare engine reading the same members into a typed table."""

import shutil
from pathlib import Path

import duckdb

from bench.case import Case, Figure, expect
from bench.data.events import EventTruth, make_export, read_truth, truth_of
from bench.measuring import Side, alternate, best_wall, median_cpu
from relay import warehouse
from relay.load.amplitude_events import load_event_files
from relay.load.event_columns import COLUMNS, TYPES, quoted
from relay.load.result import LoadResult
from relay.settings import Settings, load_settings


def prepare(folder: Path, size: int) -> None:
    """A day's export of `size` lines."""
    make_export(folder, size)


def measure(folder: Path, size: int, rounds: int) -> list[Figure]:
    """A load into an empty home, and `create table as` into an empty file, checkpointed."""
    truth = read_truth(folder)
    settings = settings_in(folder)
    bare = folder / "bare.duckdb"
    columns = ", ".join(f"{quoted(name)}: '{TYPES[kind]}'" for name, kind in COLUMNS.items())

    def create() -> None:
        with duckdb.connect(str(bare)) as connection:
            connection.execute(
                f"create table events as select * from read_json('{folder}/members/*.json.gz',"
                f" format = 'newline_delimited', compression = 'gzip', columns = {{{columns}}})"
            )
            connection.execute("checkpoint")

    def check_bare(_: None) -> None:
        with duckdb.connect(str(bare)) as connection:
            rows = "(select distinct on (uuid) * from events)"
            expect("events of the bare table", truth_of(connection, rows, size), truth)

    pairs = alternate(
        Side(
            lambda: load(settings, folder),
            lambda result: check_load(settings, result, truth),
            before=lambda: clear(settings),
        ),
        Side(create, check_bare, before=lambda: bare.unlink(missing_ok=True)),
        rounds,
    )
    speeds = sorted(1 / ratio for ratio in pairs.ratios())
    cpu = median_cpu(pairs.ours)
    return [
        Figure(
            "event_loader",
            size,
            speeds[len(speeds) // 2],
            cpu,
            best_wall(pairs.ours),
            speeds[0],
            speeds[-1],
            against=f"`create table as`, {median_cpu(pairs.theirs):.2f} CPU s",
            note=f"{size / cpu:,.0f} events per CPU second",
        )
    ]


def alone(folder: Path, size: int) -> None:
    """Load once, into an empty home: what is loaded already is not read again."""
    settings = settings_in(folder)
    clear(settings)
    expect("lines", load(settings, folder).rows, size)


def settings_in(folder: Path) -> Settings:
    """A home beside the export."""
    return load_settings(folder / "home", environ={"RELAY_NOW": "2026-03-03T12:00:00Z"})


def load(settings: Settings, folder: Path) -> LoadResult:
    """What `relay load events --path` does, from the lock to the closed file."""
    with (
        warehouse.lock(settings.home, "relay load"),
        warehouse.connect(settings) as connection,
    ):
        return load_event_files(connection, settings, [folder / "export.zip"])


def check_load(settings: Settings, result: LoadResult, truth: EventTruth) -> None:
    """Every event once, its ids, times and JSON as they were written."""
    counts = (result.rows, result.loaded, result.duplicates, result.rejected)
    expect("counts", counts, (truth.lines, truth.events, truth.lines - truth.events, 0))
    with duckdb.connect(str(settings.home.database), read_only=True) as connection:
        expect("events", truth_of(connection, "raw.amplitude_events", truth.lines), truth)


def clear(settings: Settings) -> None:
    """Begin with an empty home."""
    shutil.rmtree(settings.home.root, ignore_errors=True)
    settings.home.root.mkdir()


CASE = Case(
    name="loader",
    what="a day's export into the warehouse",
    sizes=(25_000, 150_000),
    prepare=prepare,
    measure=measure,
    alone=alone,
    peak_goal="load_peak_memory",
    rounds=2,
)
