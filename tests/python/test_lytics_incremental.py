"""Lytics' incremental models: load by load they give what a full refresh gives."""

import random
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lytics_world import (
    NOW,
    SYNCS,
    load_cohort,
    load_events,
    random_events,
    settling_events,
)
from relay import warehouse
from relay.plan.dbt import run_dbt
from relay.settings import Settings, load_settings

COMPARED = {
    "fields.lytics_event_rows": "*",
    "fields.lytics_event_values": "*",
    "fields.lytics_newest_rows": "*",
    "fields.lytics_event_fragments": "*",
    "payloads.lytics_events": "*",
    "payloads.lytics_user_profiles": "*",
}
SELECT = (
    "+payloads__lytics_events",
    "+payloads__lytics_user_profiles",
    "+payloads__lytics_cohorts",
)


def _run(settings: Settings, *arguments: str) -> None:
    with warehouse.lock(settings.home, "test"):
        run_dbt(settings, ["run", "--select", *SELECT, *arguments])


def _contents(settings: Settings) -> dict[str, list[Any]]:
    with warehouse.lock(settings.home, "test"):
        connection = warehouse.connect(settings)
        try:
            found = {
                table: sorted(
                    connection.execute(f"select {columns} from {table}").fetchall(),
                    key=repr,
                )
                for table, columns in COMPARED.items()
            }
        finally:
            connection.close()
    return found


def _with_copies(rng: random.Random, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events, and of some that can be told again another copy: uploaded earlier or later."""
    known = [one for one in events if one["device_id"] and one["$insert_id"] != "relay:x"]
    copies = [
        {
            **one,
            "uuid": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            "server_upload_time": f"2026-02-{rng.randrange(1, 28):02} 12:00:00",
            "city": "of a copy",
            "user_id": rng.choice([one["user_id"], "ann"]),
        }
        for one in rng.sample([one for one in known if one["$insert_id"]], 30)
    ]
    mixed = events + copies
    rng.shuffle(mixed)
    return mixed


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_load_by_load_equals_a_full_refresh(tmp_path: Path, seed: int) -> None:
    """Loads in no order of time, retries and earlier copies among them; then a mapping moves."""
    rng = random.Random(seed)
    (tmp_path / "syncs.yml").write_text(SYNCS, encoding="utf-8")
    settings = load_settings(tmp_path, environ={"RELAY_NOW": NOW.isoformat()})
    events = _with_copies(
        rng, settling_events() + random_events(rng, 180, start=NOW - timedelta(days=3))
    )
    with warehouse.lock(settings.home, "test"):
        run_dbt(settings, ["seed"])
    for load_id, start in enumerate(range(0, len(events), 70), start=1):
        with warehouse.lock(settings.home, "test"):
            connection = warehouse.connect(settings)
            load_events(connection, events[start : start + 70], load_id)
            if load_id == 1:
                members = [(1, "ann", {"city": "Graz"}), (7, None, {"os": "ios"})]
                load_cohort(connection, "c1", "Cart", NOW - timedelta(hours=2), members)
            connection.close()
        _run(settings)
    _same_as_a_full_refresh(settings)
    more = SYNCS + "lytics: {additional_fields: true}\n"
    (tmp_path / "syncs.yml").write_text(more, encoding="utf-8")
    settings = load_settings(tmp_path, environ={"RELAY_NOW": NOW.isoformat()})
    _run(settings)
    profiles = _same_as_a_full_refresh(settings)["payloads.lytics_user_profiles"]
    assert "amplitude_ip_address" in repr(profiles)


def _same_as_a_full_refresh(settings: Settings) -> dict[str, list[Any]]:
    incremental = _contents(settings)
    assert all(incremental.values())
    _run(settings, "--full-refresh")
    assert _contents(settings) == incremental
    return incremental
