"""How fast a plan goes out, and what it costs in memory: into a sink that only counts."""

import time
import tracemalloc
from pathlib import Path

import httpx

from apply.sealed import Sync, seal, settings_in
from apply.sink import counting_sink
from relay.apply.run import apply_plan

RECORDS_PER_CPU_SECOND = 100_000


def test_a_hundred_thousand_records_a_second_leave_one_process(tmp_path: Path) -> None:
    """Retries, limiter and a flushed ledger are on; CPU seconds, since others use the machine."""
    requests, rows = 200, 1000
    with counting_sink() as host:
        settings = settings_in(tmp_path, CLEVERTAP_API_URL=host)
        plan = seal(settings.home, [Sync("ct", "clevertap", [(2, rows)] * requests)])
        wall, cpu = time.perf_counter(), time.process_time()
        result = apply_plan(settings, plan)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        count = int(httpx.get(f"{host}/count", trust_env=False).text)
    assert result.exit_code == 0
    assert count == result.syncs[0].delivered == requests * rows
    print(
        f"{count:,} records in {wall:.2f} s: {count / wall:,.0f} records/s,"
        f" {count / cpu:,.0f} records per CPU second"
    )
    assert count / cpu >= RECORDS_PER_CPU_SECOND


def test_memory_does_not_grow_with_the_plan(tmp_path: Path) -> None:
    peaks = []
    with counting_sink() as host:
        for minute, requests in enumerate((20, 200)):
            settings = settings_in(tmp_path, CLEVERTAP_API_URL=host)
            sync = Sync(f"ct{minute}", "clevertap", [(2, 400)] * requests)
            plan = seal(settings.home, [sync], minute=minute)
            tracemalloc.start()
            assert apply_plan(settings, plan).exit_code == 0
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    small, large = peaks
    print(f"peak {small / 1e6:.1f} MB for 20 requests, {large / 1e6:.1f} MB for 200")
    assert large < small + 5_000_000
