"""The upload client into a counting sink on loopback, against a loop that only sends."""

import http.client
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from apply.sealed import KEYS
from apply.sink import counting_sink
from bench.case import Case, Figure, expect
from bench.data.payloads import make_payload_table, seal_plan
from bench.measuring import Cost, Side, alternate, best_wall, median_cpu
from relay.apply.run import ApplyResult, apply_plan
from relay.plan.manifest import Plan, read_plan
from relay.settings import Home, Settings, load_settings


def prepare(folder: Path, size: int) -> None:
    """A sealed plan of `size` records."""
    make_payload_table(folder, size)
    seal_plan(folder, Home(folder))


def measure(folder: Path, size: int, rounds: int) -> list[Figure]:
    """Send the plan as `relay apply` does, with retries, limiter and a flushed ledger."""
    with counting_sink() as host:
        settings, plan = _plan(folder, host)
        counted = 0

        def check_ours(result: ApplyResult) -> None:
            expect(
                "exit code and delivered", (result.exit_code, result.syncs[0].delivered), (0, size)
            )
            check_count()

        def check_count() -> None:
            nonlocal counted
            count = int(httpx.get(f"{host}/count", trust_env=False).text)
            expect("records that the sink counted", count - counted, size)
            counted = count

        pairs = alternate(
            Side(
                lambda: apply_plan(settings, plan),
                check_ours,
                before=lambda: _forget(settings, plan),
            ),
            Side(lambda: _send_in_a_loop(host, plan), lambda _: check_count()),
            rounds,
        )
    speeds = sorted(size / cost.wall for cost in pairs.ours)
    return [
        Figure(
            "upload",
            size,
            speeds[len(speeds) // 2],
            median_cpu(pairs.ours),
            best_wall(pairs.ours),
            speeds[0],
            speeds[-1],
            against=(
                "the same bodies through `http.client`, one after another, nothing else:"
                f" {_median_speed(size, pairs.theirs):,.0f} records/s,"
                f" {median_cpu(pairs.theirs):.2f} CPU s"
            ),
        )
    ]


def alone(folder: Path, size: int) -> None:
    """Send the plan once."""
    with counting_sink() as host:
        settings, plan = _plan(folder, host)
        _forget(settings, plan)
        expect("delivered", apply_plan(settings, plan).syncs[0].delivered, size)


def _plan(folder: Path, host: str) -> tuple[Settings, Plan]:
    settings = load_settings(folder, environ={**KEYS, "CLEVERTAP_API_URL": host})
    (manifest,) = settings.home.outbox.glob("*/manifest.json")
    return settings, read_plan(settings.home, manifest.parent.name)


def _forget(settings: Settings, plan: Plan) -> None:
    """Leave the plan as sealing did: nothing sent."""
    for file in settings.home.ledger.iterdir():
        file.unlink()
    (settings.home.ledger / f"{plan.plan_id}.ndjson").touch()


def _send_in_a_loop(host: str, plan: Plan) -> None:
    """The least a sender can do."""
    connection = http.client.HTTPConnection(urlsplit(host).netloc)
    with (plan.folder / "cart.requests.ndjson").open("rb") as bodies:
        for line in bodies:
            connection.request("POST", "/1/upload", line.rstrip(b"\n"))
            connection.getresponse().read()
    connection.close()


def _median_speed(size: int, costs: list[Cost]) -> float:
    walls = sorted(cost.wall for cost in costs)
    return size / walls[len(walls) // 2]


CASE = Case(
    name="upload",
    what="sealed requests into a counting sink on loopback",
    sizes=(200_000, 400_000),
    prepare=prepare,
    measure=measure,
    alone=alone,
)
