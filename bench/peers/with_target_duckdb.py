"""Singer's target-duckdb, with the records already in memory as Singer's messages.

`with_target_duckdb.py MESSAGES DATABASE` prints what it cost, imports left out.
"""

import contextlib
import io
import json
import sys
import time
from pathlib import Path

import target_duckdb


def main(messages: str, database: str) -> None:
    """Load."""
    lines = io.TextIOWrapper(io.BytesIO(Path(messages).read_bytes()), encoding="utf-8")
    config = {"path": database, "default_target_schema": "loaded"}
    began = time.process_time()
    # It tells its state on standard output.
    with contextlib.redirect_stdout(io.StringIO()):
        connection = target_duckdb.duckdb_connect(config)
        target_duckdb.persist_lines(connection, config, lines)
        connection.close()
    sys.stdout.write(json.dumps({"cpu_seconds": time.process_time() - began}))


if __name__ == "__main__":
    main(*sys.argv[1:])
