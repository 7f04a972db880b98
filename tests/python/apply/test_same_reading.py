"""The ledger is read twice: by the uploaders to go on, by dbt to tell. Both read the same."""

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from apply.sealed import Sync, key_of, seal, settings_in
from compiled import CompiledModels
from relay import warehouse
from relay.apply.ledger import Ledger, Rejection
from relay.apply.outgoing import read_all_outgoing
from relay.apply.state import RequestState, SyncHistory, histories

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
ROWS = 4
HISTORIES = 120


def subset(dice: random.Random, of: list[int]) -> list[int]:
    return sorted(dice.sample(of, dice.randint(0, len(of))))


def random_line(dice: random.Random) -> dict[str, Any]:
    """A line of one request of four rows, as the uploaders and decisions write them."""
    refused = subset(dice, list(range(ROWS)))[:2]
    others = [position for position in range(ROWS) if position not in refused]
    listed = subset(dice, others)
    pending = subset(dice, listed) if len(listed) < len(others) else []
    kind = dice.choice(["sending", "answered", "answered", "answered", "resolved", "confirmed"])
    line: dict[str, Any] = {
        "kind": kind,
        "rejected": [Rejection(position, "1", "no") for position in refused],
        "unknown": listed,
    }
    if kind == "answered":
        outcome = dice.choice(["delivered", "delivered", "rejected", "not_processed", "unknown"])
        line["outcome"] = outcome
        if outcome == "rejected":
            line |= {"rejected": [Rejection(None, "1", "no")], "unknown": []}
        elif outcome == "not_processed":
            pending = []
    if kind == "resolved":
        decision = dice.choice(["delivered", "resend"])
        line["detail"] = {"decision": decision}
        # What a resolution to `delivered` lists was never sent.
        pending = listed if decision == "delivered" else []
    if kind == "confirmed":
        line["unknown"], pending = [], []
    if pending:
        line["detail"] = line.get("detail", {}) | {"pending": pending}
    return line


def outcome_of(state: RequestState, position: int) -> str:
    refused = {rejection.position for rejection in state.rejected}
    if None in refused or position in refused:
        return "rejected"
    if position in state.unknown:
        return "unknown"
    return "pending" if position in state.pending else "delivered"


def test_the_uploaders_and_dbt_read_the_same_outcome_of_every_row(
    tmp_path: Path, compiled_models: CompiledModels
) -> None:
    settings = settings_in(tmp_path)
    dice = random.Random(6)
    names = [f"s{number}" for number in range(HISTORIES)]
    plan = seal(settings.home, [Sync(name, "moengage", [(1, ROWS), (2, ROWS)]) for name in names])
    with Ledger.open(settings.home) as ledger:
        for name in names:
            for _ in range(dice.randint(0, 5)):
                line = random_line(dice)
                whole = line["kind"] == "confirmed" and dice.random() < 0.3
                if whole:
                    # A position is one of a request: a line of the whole sync has none.
                    line["rejected"] = []
                ledger.append(
                    line.pop("kind"),
                    at=AT,
                    plan_id=plan.plan_id,
                    sync=name,
                    request=None if whole else dice.randint(1, 2),
                    **line,
                )
        read = histories(ledger.lines(plan.plan_id))
    expected = {
        key_of(name, request, position): outcome_of(
            read.get(name, SyncHistory()).state(request, size.rows), position
        )
        for name, outgoing in read_all_outgoing(plan).items()
        for request, size in outgoing.requests.items()
        for position in range(size.rows)
    }
    with warehouse.connect(settings) as connection:
        compiled_models.run(connection, ["ledger__row_outcomes"])
        told = dict(
            connection.execute("select change_id, outcome from ledger.row_outcomes").fetchall()
        )
    assert told == expected
    print(f"{len(expected)} rows of {HISTORIES} histories: read the same by both")
