"""Sealing: payload rows into request files, against writing the same records as flat lines."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from bench.case import Case, Figure, expect
from bench.measuring import Side, alternate, best_wall, median_cpu
from relay.plan.requests import Limits, cut_requests, write_bodies
from relay.plan.seal import seal_sync
from relay.settings import find_project_root

# CleverTap's, of the seed `request_limits`.
LIMITS = Limits(max_records=1000, max_bytes=1_999_999)
PAYLOAD = "(select * from payloads.clevertap_cohort_changes where sync_name = 'cart')"
PREFIX, SUFFIX = '{"d":[', "]}"


def prepare(folder: Path, size: int) -> None:
    """A payload table as the model of CleverTap's changes leaves it, a third of it removals.

    The table holds a second sync of a tenth of the size, which is not sealed.
    """
    with duckdb.connect(str(folder / "relay.duckdb")) as connection:
        for schema in ("payloads", "seeds", "cohorts"):
            connection.execute(f"create schema {schema}")
        seed = find_project_root() / "seeds" / "vendors" / "request_limits.csv"
        connection.execute(f"create table seeds.request_limits as from read_csv('{seed}')")
        connection.execute(
            """
            create table payloads.clevertap_cohort_changes as
            with keys as (
                select
                    if(number <= $size, 'cart', 'other') as sync_name,
                    number,
                    if(hash(number) % 3 = 0, 1, 2) as phase,
                    'user-' || hash(number) as key_value
                from range(1, cast($size * 1.1 as bigint) + 1) as numbers(number)
            )
            select
                sync_name,
                'clevertap' as destination,
                '1638361188' as cohort_id,
                'Cart drop-off' as cohort_name,
                row_number() over (partition by sync_name order by phase, key_value) as position,
                phase,
                left(sha256('change' || number), 32) as change_id,
                if(phase = 1, 'removed', 'added') as action,
                'entered' as reason,
                'identity' as key_type,
                key_value,
                key_value as match_key,
                [left(sha256('person' || number), 32)] as person_ids,
                ['amplitude_id:default:' || number] as anchors,
                left(sha256('payload' || number), 32) as payload_hash,
                cast(json_object(
                    'type', 'event', 'identity', key_value, 'ts', 1772452800,
                    'evtName', 'Partner Sync',
                    'evtData', json_object(
                        'Partner Segment Name', 'Cart drop-off',
                        'Action', if(phase = 1, 'Removed', 'Added'),
                        'Partner Segment ID', '1638361188',
                        'CT Source', 'Amplitude', 'Partner Name', 'Amplitude'
                    )
                ) as varchar) as record,
                $prefix as body_prefix,
                $suffix as body_suffix
            from keys
            """,
            {"size": size, "prefix": PREFIX, "suffix": SUFFIX},
        )
        connection.execute(
            "create table cohorts.desired_keys as select sync_name, key_type, key_value"
            " from payloads.clevertap_cohort_changes where phase = 2"
        )


def measure(folder: Path, size: int, rounds: int) -> list[Figure]:
    """Both ways, and each file's records against the table's, in order."""
    connection = _open(folder)
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
    with _open(folder) as connection:
        sealed = seal_sync(
            connection,
            folder,
            name="cart",
            kind="cohort_sync",
            destination="clevertap",
            delivery="events",
            payload=PAYLOAD,
        )
    expect("changes sealed", sum(sealed.counts.values()), size)


def _open(folder: Path) -> DuckDBPyConnection:
    return duckdb.connect(str(folder / "relay.duckdb"))


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
    prepare=prepare,
    measure=measure,
    alone=alone,
    peak_goal="sealing_peak_memory",
)
