"""An hourly load onto a long history of events, against the same onto a tenth of it."""

from pathlib import Path

from bench.case import Case, Figure, expect
from bench.data.events import make_export, read_truth
from bench.measuring import Side, alternate, best_wall, median_cpu
from relay import warehouse
from relay.load.amplitude_events import load_event_files
from relay.load.result import LoadResult
from relay.settings import Settings, load_settings

AN_HOUR = 10_000
MOST_ROUNDS = 3


def prepare(folder: Path, size: int) -> None:
    """Two homes, one with `size` events from before and one with a tenth; an export a round."""
    for events in (size, size // 10):
        settings = _settings(folder, events)
        with warehouse.connect(settings) as connection:
            # Half a year of them, in the order of their upload as loads leave them.
            connection.execute(
                """
                insert into raw.amplitude_events by name
                select
                    cast(md5(cast(number as varchar)) as uuid) as uuid,
                    829528 as app,
                    number % 2000000 as amplitude_id,
                    'Visit' as event_type,
                    timestamp '2025-09-01'
                    + to_seconds(cast(number * 15552000.0 / $events as bigint)) as event_time,
                    event_time as server_upload_time,
                    'made' as source_file,
                    number as line_number,
                    1 as load_id,
                    event_time as loaded_at
                from range($events) as numbers(number)
                """,
                {"events": events},
            )
            connection.execute("checkpoint")
    for number in range(MOST_ROUNDS):
        (folder / f"hour-{number}").mkdir()
        make_export(folder / f"hour-{number}", AN_HOUR, day=number)


def measure(folder: Path, size: int, rounds: int) -> list[Figure]:
    """One export after the other, into both; there are exports for so many rounds."""
    rounds = min(rounds, MOST_ROUNDS)
    exports = {events: _Exports(folder, _settings(folder, events)) for events in (size, size // 10)}
    long, short = exports[size], exports[size // 10]
    pairs = alternate(Side(long.load, long.check), Side(short.load, short.check), rounds)
    ratios = sorted(pairs.ratios())
    return [
        Figure(
            "hourly_load_history",
            size,
            ratios[len(ratios) // 2],
            median_cpu(pairs.ours),
            best_wall(pairs.ours),
            ratios[0],
            ratios[-1],
            against=f"onto {size // 10:,} events, {median_cpu(pairs.theirs):.2f} CPU s",
            note=f"{AN_HOUR:,} events an hour",
        )
    ]


class _Exports:
    """The exports of one home, one after the other."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder = folder
        self._settings = settings
        self._number = -1

    def load(self) -> LoadResult:
        """Load the next one."""
        self._number += 1
        export = self._folder / f"hour-{self._number}" / "export.zip"
        with (
            warehouse.lock(self._settings.home, "relay load"),
            warehouse.connect(self._settings) as connection,
        ):
            return load_event_files(connection, self._settings, [export])

    def check(self, result: LoadResult) -> None:
        """All events are new, but for those that the export gives twice."""
        truth = read_truth(self._folder / f"hour-{self._number}")
        counts = (result.rows, result.loaded, result.duplicates)
        expect("counts", counts, (truth.lines, truth.events, truth.lines - truth.events))


def _settings(folder: Path, events: int) -> Settings:
    return load_settings(folder / f"home-{events}", environ={"RELAY_NOW": "2026-03-09T12:00:00Z"})


CASE = Case(
    name="hourly",
    what="an hour's events onto a long history",
    sizes=(1_000_000, 20_000_000),
    prepare=prepare,
    measure=measure,
)
