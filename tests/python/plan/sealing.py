"""Seals three made-up syncs in a process of its own: `python -m plan.sealing HOME THREADS SEED`.

The rows are the same each time; how many threads the engine has and in which order the rows are
stored is not.
"""

import json
import random
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
from duckdb import DuckDBPyConnection

from relay.plan.manifest import Plan, PlanSync
from relay.plan.seal import finish_plan, seal_sync, sealing_folder
from relay.settings import load_settings

LIMITS = Path(__file__).parents[3] / "seeds" / "vendors" / "request_limits.csv"
CREATED_AT = "2026-03-02T12:00:00Z"
SYNCS = {
    "ct": ("clevertap", "events", 1300),
    "moe": ("moengage", None, 1500),
    "lyt": ("lytics", None, 90),
}
BODIES = {
    "clevertap": ('{"d":[', "]}"),
    "moengage": ('{"members":[', "]}"),
    "lytics": ("[", "]"),
}


def record_of(destination: str, key: str, phase: int) -> dict[str, object]:
    """One record; what matters is that it has any character and differs in length."""
    if destination == "clevertap":
        return {"identity": key, "ts": 1772452800 + phase, "evtName": "Partner Sync"}
    if destination == "moengage":
        return {"uid": key}
    return {"user_id": key, "cohort_id": "c1", f"field {len(key) % 3}": 'Zoë, "🛒"\n'}


def payload_of(connection: DuckDBPyConnection, seed: int) -> None:
    """The tables that sealing reads."""
    for schema in ("seeds", "payloads", "ledger", "cohorts", "fields"):
        connection.execute(f"create schema {schema}")
    connection.execute(f"create table seeds.request_limits as from read_csv('{LIMITS}')")
    rows = []
    for sync, (destination, _, count) in SYNCS.items():
        for number in range(count):
            key = f"{sync}-{number:05}" + "ø🛒x"[number % 3] * (number * 7 % 60)
            phase = 1 if number < count // 3 else 2
            record = record_of(destination, key, phase)
            prefix, suffix = BODIES[destination]
            rows.append(
                {
                    "sync_name": sync,
                    "cohort_id": "c1",
                    "position": number + 1,
                    "phase": phase,
                    "change_id": f"change-{key}",
                    "action": "removed" if phase == 1 else "added",
                    "reason": "because",
                    "key_type": "identity",
                    "key_value": key,
                    "match_key": key.casefold(),
                    "cohort_name": "Cart",
                    "payload_hash": f"hash-{number}",
                    "person_ids": [f"p{number}", "p"],
                    "anchors": ["a"],
                    "record": json.dumps(record, ensure_ascii=False),
                    "body_prefix": prefix,
                    "body_suffix": suffix,
                }
            )
    random.Random(seed).shuffle(rows)
    connection.register("rows", pa.Table.from_pylist(rows))
    connection.execute("create table payloads.all as from rows")
    connection.execute(
        "create table cohorts.desired_keys as select sync_name, key_type, match_key, key_value"
        " from payloads.all where phase = 2"
    )
    connection.execute(
        "create table ledger.confirmed_keys as select sync_name, cohort_name, key_type, match_key,"
        " key_value, true as is_confirmed, false as is_in_doubt from payloads.all where phase = 1"
    )
    connection.execute(
        "create table cohorts.suppressed_keys (sync_name varchar, cohort_name varchar,"
        " key_type varchar, match_key varchar)"
    )
    connection.execute(
        "create table fields.moengage_file_segments as select sync_name,"
        " if(position % 2 = 0, 'uid', 'moe_anonymous_id') as column_name, key_value"
        " from payloads.all where sync_name = 'moe'"
    )


def seal(home: Path, threads: int, seed: int) -> Plan:
    """Seal the three syncs as one plan."""
    settings = load_settings(home, environ={})
    connection = duckdb.connect(config={"threads": threads})
    payload_of(connection, seed)
    syncs, files = [], []
    with sealing_folder(settings.home) as folder:
        for name, (destination, delivery, _) in SYNCS.items():
            sealed = seal_sync(
                connection,
                folder,
                name=name,
                kind="cohort_sync",
                destination=destination,
                delivery=delivery,
                payload=f"(select * from payloads.all where sync_name = '{name}')",
            )
            syncs.append(
                PlanSync(
                    name=name,
                    kind="cohort_sync",
                    destination=destination,
                    delivery=delivery,
                    cohort_id="c1",
                    cohort_name="Cart",
                    snapshot_id="c1@1",
                    ledger_seq=0,
                    state="ready",
                    reason=None,
                    changes_hash=sealed.changes_hash,
                )
            )
            files += sealed.files
        return finish_plan(
            settings.home,
            folder,
            kind="sync",
            created_at=CREATED_AT,
            undoes=None,
            syncs=syncs,
            files=files,
            suppress=None,
        )


if __name__ == "__main__":
    print(seal(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])).plan_id)
