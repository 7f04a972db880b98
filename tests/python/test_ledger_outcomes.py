"""The models and the uploader read one ledger: they must agree on what became of every row."""

import json
import random
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import duckdb
import pytest

from compiled import CompiledModels
from relay.apply.ledger_lines import LedgerLine, Rejection
from relay.apply.state import RequestState, histories

PLAN, SYNC, ROWS = "p", "s", 4


def _line(rng: random.Random, seq: int, request: int) -> LedgerLine:
    """Any line that a run, a crash or a person may leave."""
    some = sorted(rng.sample(range(ROWS), rng.randint(0, 2)))
    refused = tuple(
        Rejection(position, "520", "no") for position in range(ROWS) if rng.random() < 0.2
    )
    refused = tuple(one for one in refused if one.position not in some)
    kind = rng.choice(["sending", "answered", "answered", "answered", "confirmed", "resolved"])
    values: dict[str, Any] = {"rejected": refused, "unknown": tuple(some), "detail": {}}
    outcome = None
    if kind == "sending":
        values["rejected"] = () if not some else refused
    elif kind == "answered":
        outcome = rng.choice(["delivered", "rejected", "not_processed", "unknown"])
        if outcome == "rejected":
            values |= {"rejected": (Rejection(None, "400", "bad"),), "unknown": ()}
        elif some and rng.random() < 0.3:
            values["detail"] = {"pending": some[:1]}
    elif kind == "confirmed":
        values["unknown"] = ()
    else:
        decision = rng.choice(["delivered", "resend"])
        values["detail"] = {"decision": decision}
        if decision == "delivered" and some:
            values["detail"]["pending"] = some
    return LedgerLine(
        seq=seq,
        at=datetime(2026, 3, 1, tzinfo=UTC),
        kind=kind,
        plan_id=PLAN,
        sync=SYNC,
        request=request,
        attempt=1,
        http_status=200,
        outcome=outcome,
        **values,
    )


def _outcomes(state: RequestState) -> list[str]:
    by_position = dict.fromkeys(range(ROWS), "delivered")
    by_position |= dict.fromkeys(state.unknown, "unknown")
    by_position |= dict.fromkeys(state.pending, "pending")
    for rejection in state.rejected:
        refused = range(ROWS) if rejection.position is None else [rejection.position]
        by_position |= dict.fromkeys(refused, "rejected")
    return [by_position[position] for position in range(ROWS)]


@pytest.mark.parametrize("seed", range(3))
def test_models_and_uploader_agree_on_every_row(seed: int, compiled_models: CompiledModels) -> None:
    rng = random.Random(seed)
    requests = 120
    connection = duckdb.connect()
    connection.execute(resources.files("relay").joinpath("raw.sql").read_text(encoding="utf-8"))
    connection.execute("insert into raw.plans values (?, 'h', 'sync', now(), null, true)", [PLAN])
    connection.execute(
        "insert into raw.plan_syncs by name select ? as plan_id, ? as sync_name, true as has_rows,"
        " 'cohort_sync' as kind, 'moengage' as destination, 'ready' as state",
        [PLAN, SYNC],
    )
    connection.execute(
        "insert into raw.plan_rows by name select ? as plan_id, ? as sync_name,"
        " r || '-' || p as change_id, r as request, p as position, 2 as phase, 'added' as action"
        " from range(1, ?) as requests(r), range(?) as positions(p)",
        [PLAN, SYNC, requests + 1, ROWS],
    )
    lines: list[LedgerLine] = []
    for request in range(1, requests + 1):
        for _ in range(rng.randint(0, 5)):
            lines.append(_line(rng, len(lines) + 1, request))
    connection.executemany(
        "insert into raw.ledger_lines values (?, ?, ?, ?, ?, ?, 1, 200, ?, ?, ?, ?, 'f')",
        [
            (
                *(line.seq, line.at.replace(tzinfo=None), line.kind, PLAN, SYNC, line.request),
                line.outcome,
                [{"position": r.position, "code": r.code, "text": r.text} for r in line.rejected],
                list(line.unknown),
                json.dumps(line.detail),
            )
            for line in lines
        ],
    )
    compiled_models.run(connection, ["ledger__row_outcomes"])
    found: dict[int, list[str]] = {}
    for request, outcome in connection.execute(
        "select request, outcome from ledger.row_outcomes order by request, row_position"
    ).fetchall():
        found.setdefault(request, []).append(outcome)
    history = histories(lines).get(SYNC)
    assert history is not None
    expected = {n: _outcomes(history.state(n, ROWS)) for n in range(1, requests + 1)}
    assert found == expected
    assert {"delivered", "rejected", "unknown", "pending"} == {
        o for os in found.values() for o in os
    }
