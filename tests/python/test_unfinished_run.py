"""A run that was killed half way goes on at the next look; one that ended waits for its time."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from relay.plan.make import Candidate, PlanRequest, scheduled
from relay.plan.manifest import PlanSync
from relay.settings import load_settings

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
SYNCS = """version: 1
cohort_syncs:
  - {name: hourly, cohort_id: "7", destination: lytics, frequency: hourly}
  - {name: once, cohort_id: "8", destination: lytics, frequency: one_time}
"""


@pytest.mark.parametrize("name", ["hourly", "once"])
@pytest.mark.parametrize(("is_unfinished", "state"), [(True, "ready"), (False, "not_due")])
def test_only_an_unfinished_run_goes_on_before_its_time(
    tmp_path: Path, name: str, is_unfinished: bool, state: str
) -> None:
    (tmp_path / "syncs.yml").write_text(SYNCS, encoding="utf-8")
    settings = load_settings(tmp_path, environ={"RELAY_NOW": NOW.isoformat()})
    config = {sync.name: sync for sync in settings.config.syncs}[name]
    sync = PlanSync(
        name=name,
        kind="cohort_sync",
        destination="lytics",
        delivery=None,
        cohort_id="7",
        cohort_name="Cart",
        snapshot_id="7@1",
        ledger_seq=3,
        state="ready",
        reason=None,
    )
    candidate = Candidate(sync, config, NOW - timedelta(minutes=1), is_unfinished)
    assert scheduled(candidate, PlanRequest(), settings).state == state
