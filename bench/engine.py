"""What a dbt run costs the engine, by model: CPU seconds within DuckDB, dbt's own left out.

dbt's fixed cost would hide how a step grows, so the diff is measured by what its models cost where
the work is done.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from dbt.adapters.duckdb.environments.local import DuckDBCursorWrapper
from dbt_common.events.contextvars import get_node_info

from relay.plan.dbt import run_dbt
from relay.settings import Settings


@contextmanager
def engine_cost() -> Iterator[dict[str, float]]:
    """CPU seconds of DuckDB during the block, by name of the model; right with one dbt thread."""
    costs: dict[str, float] = defaultdict(float)
    original = DuckDBCursorWrapper.execute

    @wraps(original)
    def execute(self: Any, sql: str, bindings: Any = None) -> Any:
        began = time.process_time()
        try:
            return original(self, sql, bindings)
        finally:
            costs[get_node_info().get("node_name", "")] += time.process_time() - began

    DuckDBCursorWrapper.execute = execute
    try:
        yield costs
    finally:
        DuckDBCursorWrapper.execute = original


def build_models(settings: Settings, *arguments: str) -> dict[str, float]:
    """`dbt run` with these arguments, one model at a time; what each cost the engine."""
    with engine_cost() as costs:
        run_dbt(settings, ["run", "--no-write-json", "--threads", "1", *arguments])
    return costs


def cost_of(costs: dict[str, float], belongs: Callable[[str], bool]) -> float:
    """The CPU seconds of the models that belong."""
    return sum(seconds for name, seconds in costs.items() if belongs(name))
