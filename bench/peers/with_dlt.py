"""dlt, tuned as well as it can be: no nesting, JSON columns, Parquet on the way into DuckDB.

`with_dlt.py MEMBERS DATABASE` loads the gzipped members and prints what it cost, imports left out.
"""

import gzip
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import orjson

NESTED = (
    "data",
    "event_properties",
    "global_user_properties",
    "group_properties",
    "groups",
    "plan",
    "user_properties",
)


@dlt.resource(
    name="events",
    max_table_nesting=0,
    write_disposition="append",
    columns={name: {"data_type": "json"} for name in NESTED},
)
def events(members: str) -> Iterator[list[Any]]:
    """The events of the members, one list a member."""
    for path in sorted(Path(members).glob("*.json.gz")):
        with gzip.open(path, "rb") as lines:
            yield [orjson.loads(line) for line in lines]


def main(members: str, database: str) -> None:
    """Load."""
    began = time.process_time()
    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=str(Path(database).with_suffix(".dlt")),
        destination=dlt.destinations.duckdb(database),
        dataset_name="loaded",
    )
    pipeline.run(events(members), loader_file_format="parquet")
    sys.stdout.write(json.dumps({"cpu_seconds": time.process_time() - began}))


if __name__ == "__main__":
    main(*sys.argv[1:])
