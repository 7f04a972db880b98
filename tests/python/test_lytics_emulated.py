"""Planned, sealed and sent to the emulator: it then holds the profiles that were forecast.

The emulator reads the vendor's page on its own; nothing but HTTP lies between it and the models.
"""

import json
import random
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
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
from relay.apply.commands import apply_sealed
from relay.apply.result import ApplyResult
from relay.emulate.house import Emulators
from relay.plan.make import PlanRequest, make_plan
from relay.plan.manifest import Plan
from relay.settings import Settings, load_settings

PEOPLE = [(1, "ann"), (3, None), (None, 'c"y'), (4, "Bo ✓"), (7, None)]


@pytest.fixture
def emulators() -> Iterator[Emulators]:
    with Emulators(clock=NOW) as started:
        started.clock.freeze()
        yield started


@pytest.mark.slow
def test_the_emulator_holds_the_profiles_that_were_forecast(
    emulators: Emulators, tmp_path: Path
) -> None:
    """Two days: events, members who come, stay, move and leave, ids that are stitched."""
    rng = random.Random(7)
    (tmp_path / "syncs.yml").write_text(SYNCS, encoding="utf-8")
    stitched = 0
    for day in range(2):
        now = NOW + timedelta(days=day)
        emulators.clock.set(now)
        environ = {**emulators.environ, "RELAY_NOW": now.isoformat()}
        settings = load_settings(tmp_path, environ=environ)
        _load(settings, rng, day, now)
        with warehouse.lock(settings.home, "test"):
            outcome = make_plan(settings, PlanRequest(force=True))
            forecast = _forecast(settings)
            assert outcome.plan is not None
            result = apply_sealed(settings, outcome.plan.plan_id)
            assert result.exit_code == 0, result.document
            stitched += _checked_sums(outcome.plan, result)
        held = emulators.lytics.state()["profiles"]
        assert [_text(profile["fields"]) for profile in sorted(held, key=_name)] == forecast
        assert emulators.lytics.state()["unidentified"] == 0
    assert stitched > 0


def _checked_sums(plan: Plan, result: ApplyResult) -> int:
    """What a plan counts by action is what it holds, and what was delivered; rows that stitch."""
    delivered = {sync.name: sync.delivered for sync in result.syncs}
    for sync in plan.syncs:
        planned = sync.added + sync.removed + sync.reasserted
        planned += sync.refreshed + sync.renamed + sync.stitched
        rows = plan.file(sync.name, "rows")
        assert planned == (rows.rows if rows else 0) == delivered.get(sync.name, 0)
    return sum(sync.stitched for sync in plan.syncs)


def _load(settings: Settings, rng: random.Random, day: int, now: datetime) -> None:
    with warehouse.lock(settings.home, "test"):
        connection = warehouse.connect(settings)
        events = random_events(rng, 80, start=now - timedelta(days=2))
        if day == 0:
            events += settling_events() + _device_events()
        load_events(connection, events, load_id=day + 1)
        # One city and system a person and day: of two rows of one second the emulator takes the
        # later to arrive, which nothing promises.
        fields = {person: {"city": rng.choice(["Graz", "Linz"])} for person in PEOPLE}
        for cohort_id, name in (("c1", "Cart Drop off"), ("c2", "Power: Users")):
            people = rng.sample(PEOPLE, 3)
            rows = [(*person, fields[person]) for person in people]
            load_cohort(connection, cohort_id, name, now - timedelta(hours=1), rows)
        connection.close()


def _device_events() -> list[dict[str, Any]]:
    """Somebody unnamed on a phone on which ann then signs in: only a stitch row tells Lytics."""
    seen = [(9, None, "2026-02-02 08:00:00"), (1, "ann", "2026-02-02 09:00:00")]
    return [
        {
            "$insert_id": f"phone-{number}",
            "amplitude_id": amplitude_id,
            "app": 829528,
            "user_id": user_id,
            "device_id": "own-phone",
            "event_type": "Song Played",
            "event_time": moment,
            "server_upload_time": moment,
            "uuid": str(uuid.UUID(int=10_000 + number, version=4)),
        }
        for number, (amplitude_id, user_id, moment) in enumerate(seen)
    ]


def _forecast(settings: Settings) -> list[str]:
    connection = warehouse.connect(settings)
    try:
        rows = connection.execute("select user_fields from payloads.lytics_user_profiles")
        fields = [json.loads(user_fields) for (user_fields,) in rows.fetchall()]
    finally:
        connection.close()
    return [_text(one) for one in sorted(fields, key=lambda one: _name({"fields": one}))]


def _name(profile: dict[str, Any]) -> str:
    fields = profile["fields"]
    return f"{fields.get('amplitude_user_id')} {fields.get('amplitude_id')}"


def _text(fields: dict[str, Any]) -> str:
    """Canonical JSON; the emulator may write a time with another zone or fraction."""

    def same(name: str, value: Any) -> Any:
        if name.endswith(("_time", "_last_computed")) and isinstance(value, str):
            return datetime.fromisoformat(value).isoformat()
        return value

    shown = {name: same(name, value) for name, value in fields.items()}
    return json.dumps(shown, sort_keys=True, ensure_ascii=False)
