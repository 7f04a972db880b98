"""Who is on the suppress list is in nothing that is sent, but for the removal from where they are.

The whole chain from events and cohorts to the payloads of every destination, over random people who
share devices, sign in on others' and have several Amplitude ids.
"""

import random
import re
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from compiled import CompiledModels
from lytics_world import NOW, LyticsWorld, load_cohort, load_events

SYNCS = """\
version: 1
cohort_syncs:
  - {name: to-clevertap, cohort_id: c1, destination: clevertap}
  - {name: to-list, cohort_id: c1, destination: clevertap, delivery: custom_list}
  - {name: to-moengage, cohort_id: c1, destination: moengage}
  - {name: to-lytics, cohort_id: c1, destination: lytics}
event_imports:
  - {name: events, destination: lytics, backfill_days: 90}
suppress: suppressed.csv
"""
PAYLOADS = (
    "clevertap_cohort_changes",
    "moengage_cohort_changes",
    "lytics_cohorts",
    "lytics_events",
)
MODELS = (*(f"payloads__{payload}" for payload in PAYLOADS), "cohorts__sync_totals")
PEOPLE = 14
# No identifier of one person is part of another's, nor of anything else that is sent.
IDENTIFIER = re.compile(r"user-\d{3}-|device-\d{3}-|7700000\d{3}9")


def user(number: int) -> str:
    return f"user-{number:03}-"


def device(number: int) -> str:
    return f"device-{number:03}-"


def amplitude(number: int) -> int:
    return int(f"7700000{number:03}9")


def events_of(rng: random.Random, day: int) -> list[dict[str, Any]]:
    """Somebody on some device: mostly their own, known or not, now and then another's."""
    events = []
    for number in range(60):
        person = rng.randrange(PEOPLE)
        at = NOW - timedelta(days=3 - day, minutes=rng.randrange(1000))
        events.append(
            {
                "$insert_id": f"{day}-{number}",
                "amplitude_id": amplitude(person if rng.random() < 0.8 else person + 20),
                "app": 829528,
                "user_id": user(person) if rng.random() < 0.6 else None,
                "device_id": device(person if rng.random() < 0.9 else rng.randrange(PEOPLE)),
                "event_type": "Song Played",
                "event_time": f"{at:%Y-%m-%d %H:%M:%S}",
                "server_upload_time": f"{at + timedelta(seconds=1):%Y-%m-%d %H:%M:%S}",
                "uuid": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            }
        )
    return events


def snapshot(world: LyticsWorld, rng: random.Random, computed: datetime) -> None:
    rows: list[tuple[int, str | None, dict[str, Any]]] = [
        (amplitude(person), user(person) if rng.random() < 0.7 else None, {})
        for person in range(PEOPLE)
        if rng.random() < 0.8
    ]
    load_cohort(world.connection, "c1", "Cart", computed, rows)


def suppress(folder: Path, lines: Iterable[str]) -> None:
    text = "id_type,id_value,match\n" + "".join(f"{line}\n" for line in lines)
    (folder / "suppressed.csv").write_text(text, encoding="utf-8")


def sent(world: LyticsWorld) -> list[tuple[str, str, str, str, set[str]]]:
    """Sync, action, key type, match key and every identifier in the record, of every row."""
    rows: list[tuple[str, ...]] = []
    for payload in PAYLOADS:
        rows += world.connection.execute(
            "select sync_name, action, key_type, match_key, record || coalesce(key_value, '')"
            f" from payloads.{payload}"
        ).fetchall()
    return [
        (sync, action, key_type, key, set(IDENTIFIER.findall(text)))
        for sync, action, key_type, key, text in rows
    ]


def hidden(world: LyticsWorld) -> set[str]:
    """Every identifier of everybody who is suppressed."""
    rows = world.connection.execute(
        "select id_value from identity.identifiers semi join (select anchor_key from"
        " identity.resolved_persons where is_suppressed) using (anchor_key)"
    ).fetchall()
    return {value for (value,) in rows}


@pytest.mark.parametrize("seed", range(2))
def test_the_suppressed_are_in_nothing_but_their_removals(
    seed: int, compiled_models: CompiledModels, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    tmp_path.mkdir(exist_ok=True)
    suppress(tmp_path, [])
    world = LyticsWorld(compiled_models, tmp_path, syncs=SYNCS, payloads=PAYLOADS)
    load_events(world.connection, events_of(rng, 0), load_id=1)
    snapshot(world, rng, NOW - timedelta(hours=2))
    world.build(*MODELS)
    before = sent(world)
    world.send()
    confirmed = {
        (sync, key_type, key) for sync, action, key_type, key, _ in before if action == "added"
    }
    # Some are suppressed now, by an id of each kind; and more happens.
    first, second, third, *others = rng.sample(range(PEOPLE), 6)
    lines = [
        f"user_id,{user(first)},exact",
        f"amplitude_id,{amplitude(second)},exact",
        f"device_id,{device(third)},exact",
        f"user_id,user-({'|'.join(f'{one:03}' for one in others)})-,regex",
    ]
    suppress(tmp_path, lines)
    load_events(world.connection, events_of(rng, 1), load_id=2)
    snapshot(world, rng, NOW - timedelta(hours=1))
    world.at(NOW + timedelta(days=1))
    world.build(*MODELS)
    secret = hidden(world)
    assert len(secret) >= 6
    removed: dict[str, set[str]] = {}
    rows = sent(world)
    for sync, action, key_type, key, identifiers in rows:
        if action == "removed":
            # Under the key they have there, and only so.
            assert (sync, key_type, key) in confirmed
            assert identifiers & secret <= {key}
            removed.setdefault(sync, set()).update(identifiers & secret)
        else:
            assert not identifiers & secret, (sync, action, key)
            assert not any(user(one) in identifiers for one in (first, *others)), (sync, key)
    assert removed.keys() == {"to-clevertap", "to-list", "to-moengage", "to-lytics"}
    assert all(removed.values()), "of each destination somebody who was confirmed is suppressed"
    assert {"added", "removed"} <= {action for _, action, *_ in rows}
    # Removed once: the next plan does not speak of them any more.
    world.send()
    world.at(NOW + timedelta(days=2))
    world.build(*MODELS)
    assert not any(identifiers & secret for *_, identifiers in sent(world))
