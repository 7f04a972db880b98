"""igraph's connected components: `with_igraph.py LINKS` with a Parquet file of `a`, `b`.

Prints what it cost, imports left out, and how many components there are.
"""

import json
import sys
import time

import duckdb
import igraph


def main(links: str) -> None:
    """Read, number, connect."""
    began = time.process_time()
    pairs = duckdb.sql(f"select a, b from read_parquet('{links}')").fetchall()
    graph = igraph.Graph.TupleList(pairs)
    components = len(graph.connected_components())
    document = {"cpu_seconds": time.process_time() - began, "components": components}
    sys.stdout.write(json.dumps(document))


if __name__ == "__main__":
    main(*sys.argv[1:])
