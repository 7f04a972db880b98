"""The event loader beside what one would take instead. They are slow, so the sizes are small."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import duckdb

from bench.beside import run_peer
from bench.case import Case, Figure, expect
from bench.cases.loader import check_load, clear, load, settings_in
from bench.data.events import make_export, read_truth
from bench.measuring import Side, best_wall, median_cpu
from relay.load.event_columns import COLUMNS, Kind

_SINGER_TYPES: dict[Kind, str] = {
    "integer": "integer",
    "amplitude": "integer",
    "number": "number",
    "flag": "boolean",
    "json": "object",
}


def prepare(folder: Path, size: int) -> None:
    """An export, and the same lines as Singer's messages."""
    make_export(folder, size)
    properties = {
        name: {"type": ["null", _SINGER_TYPES.get(kind, "string")]}
        for name, kind in COLUMNS.items()
    }
    schema = {"type": "object", "properties": properties}
    with (folder / "messages.ndjson").open("w", encoding="utf-8") as messages:
        document = {
            "type": "SCHEMA",
            "stream": "events",
            "schema": schema,
            "key_properties": ["uuid"],
        }
        messages.write(json.dumps(document) + "\n")
        for path in sorted((folder / "members").iterdir()):
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                for line in lines:
                    messages.write('{"type":"RECORD","stream":"events","record":')
                    messages.write(line.rstrip("\n") + "}\n")


def measure(folder: Path, size: int, rounds: int) -> list[Figure]:
    """Ours before and after each peer; each result is looked at."""
    truth = read_truth(folder)
    settings = settings_in(folder)
    ours = Side(
        lambda: load(settings, folder),
        lambda result: check_load(settings, result, truth),
        before=lambda: clear(settings),
    )
    costs = [ours.once()]
    peers: dict[str, tuple[str, Callable[[Path], dict[str, float]], str]] = {
        "event_loader_dlt": (
            "dlt, no nesting, JSON columns, Parquet",
            lambda database: run_peer("with_dlt", folder / "members", database),
            "count(*)",
        ),
        "event_loader_target_duckdb": (
            "target-duckdb, records in memory already",
            lambda database: run_peer("with_target_duckdb", folder / "messages.ndjson", database),
            "count(distinct uuid)",
        ),
    }
    measured = {}
    for name, (_, run, counted) in peers.items():
        database = folder / f"{name}.duckdb"
        measured[name] = run(database)
        with duckdb.connect(str(database), read_only=True) as connection:
            ((rows,),) = connection.execute(f"select {counted} from loaded.events").fetchall()
        expect(f"rows of {name}", rows, truth.lines if counted == "count(*)" else truth.events)
        costs.append(ours.once())
    cpu = median_cpu(costs)
    return [
        Figure(
            name,
            size,
            measured[name]["cpu_seconds"] / cpu,
            cpu,
            best_wall(costs),
            against=(
                f"{words}: {measured[name]['cpu_seconds']:.1f} CPU s,"
                f" {size / measured[name]['cpu_seconds']:,.0f} events per CPU second,"
                f" {measured[name]['peak_mib']:,.0f} MiB"
            ),
            note="imports left out on both sides; one run of the peer",
        )
        for name, (words, _, _) in peers.items()
    ]


CASE = Case(
    name="loader_peers",
    what="the event loader beside dlt and target-duckdb",
    sizes=(5_000, 20_000),
    prepare=prepare,
    measure=measure,
    rounds=1,
)
