"""Sealing: payload rows into request files, against writing the same records as flat lines."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from duckdb import DuckDBPyConnection

from bench.case import Case, Figure, expect
from bench.data.payloads import (
    LIMITS,
    PAYLOAD,
    PREFIX,
    SUFFIX,
    make_payload_table,
    open_warehouse,
    seal_cart,
)
from bench.measuring import Side, alternate, best_wall, median_cpu
from relay.plan.requests import cut_requests, write_bodies


def measure(folder: Path, size: int, rounds: int) -> list[Figure]:
    """Both ways, and each file's records against the table's, in order."""
    connection = open_warehouse(folder)
    sealed, flat = folder / "sealed.ndjson", folder / "flat.ndjson"
    truth = _truth(connection)

    def copy() -> int:
        # No quoting, no escaping, and in the order in which they lie: the records, one a line.
        connection.execute(
            f"copy (select record from {PAYLOAD}) to '{flat}'"
            " (format csv, header false, quote '', escape '', delimiter '\x01')"
        )
        return 0

    def seal() -> int:
        return write_bodies(connection, cut_requests(connection, PAYLOAD, LIMITS), sealed)

    pairs = alternate(
        Side(seal, lambda requests: _check_bodies(sealed, requests, truth)),
        Side(copy, lambda _: expect("flat records", _sum_of_lines(flat), truth.sum_of_records)),
        rounds,
    )
    speeds = sorted(1 / ratio for ratio in pairs.ratios())
    return [
        Figure(
            "sealing",
            size,
            speeds[len(speeds) // 2],
            median_cpu(pairs.ours),
            best_wall(pairs.ours),
            speeds[0],
            speeds[-1],
            against=f"plain `copy` of the records, {median_cpu(pairs.theirs):.2f} CPU s",
        )
    ]


def alone(folder: Path, size: int) -> None:
    """Seal the sync whole, once: request bodies, rows, and the CSV files for people."""
    with open_warehouse(folder) as connection:
        sealed = seal_cart(connection, folder)
    expect("changes sealed", sum(sealed.counts.values()), size)


@dataclass(frozen=True)
class _Truth:
    """How many records there are of each phase; a digest of all in order, and a sum without."""

    phases: dict[int, int]
    digest: str
    sum_of_records: int


def _truth(connection: DuckDBPyConnection) -> _Truth:
    phases = dict(
        connection.execute(f"select phase, count(*) from {PAYLOAD} group by phase").fetchall()
    )
    digest, total = hashlib.sha256(), 0
    cursor = connection.execute(f"select record from {PAYLOAD} order by position")
    while rows := cursor.fetchmany(10_000):
        for (record,) in rows:
            digest.update(f"{record}\n".encode())
            total += hash(record.encode())
    return _Truth(phases, digest.hexdigest(), total)


def _sum_of_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(hash(line.rstrip(b"\n")) for line in file)


def _check_bodies(path: Path, requests: int, truth: _Truth) -> None:
    """Every record once, in order, within the limits, and no request with both phases."""
    digest = hashlib.sha256()
    found, lines = 0, 0
    with path.open("rb") as bodies:
        for line in bodies:
            body = line.rstrip(b"\n")
            within = len(body) <= (LIMITS.max_bytes or 0)
            framed = body.startswith(PREFIX.encode()) and body.endswith(SUFFIX.encode())
            inner = body[len(PREFIX) : -len(SUFFIX)]
            records = inner.split(b'},{"type"')
            removals = inner.count(b'"Action":"Removed"')
            expect(
                "a request within its limits", (within, framed, len(records) <= 1000), (True,) * 3
            )
            expect("phases in one request", removals in (0, len(records)), True)
            digest.update(inner.replace(b'},{"type"', b'}\n{"type"') + b"\n")
            found += len(records)
            lines += 1
    expect("requests", (lines, found), (requests, sum(truth.phases.values())))
    expect("fewest requests", requests, sum(-(-count // 1000) for count in truth.phases.values()))
    expect("records in order", digest.hexdigest(), truth.digest)


CASE = Case(
    name="sealing",
    what="payload rows into request files",
    sizes=(100_000, 1_000_000),
    prepare=make_payload_table,
    measure=measure,
    alone=alone,
    peak_goal="sealing_peak_memory",
)
