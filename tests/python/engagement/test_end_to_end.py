"""Engagement events into Amplitude's emulator and back: once each, under the right person.

One story through the real loaders, dbt, sealing, uploader and ledger; it takes some seconds.
"""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from engagement.world import moengage_event
from relay import warehouse
from relay.apply.commands import apply_sealed
from relay.apply.ledger import Ledger
from relay.emulate.house import PROJECT, Emulators
from relay.errors import InputFileError
from relay.load.amplitude_events import load_events
from relay.load.engagement import load_clevertap_files, load_moengage_events
from relay.plan.identify import make_identify_plan
from relay.plan.make import PlanOutcome, PlanRequest, make_plan
from relay.settings import Settings, load_settings

pytestmark = pytest.mark.slow

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SYNCS = """
version: 1
event_exports:
  - {name: ct, source: clevertap, frequency: every_4_hours, start_date: 2026-03-01}
  - {name: moe, source: moengage, frequency: streaming}
"""


class Story:
    """A home, the emulators it talks to, and the time."""

    def __init__(self, emulators: Emulators, home: Path) -> None:
        self.emulators = emulators
        self.home = home
        self.now = NOON
        home.mkdir()
        (home / "syncs.yml").write_text(SYNCS, encoding="utf-8")

    @property
    def settings(self) -> Settings:
        environ = {**self.emulators.environ, "RELAY_NOW": self.now.isoformat()}
        return load_settings(self.home, environ=environ)

    def wait(self, **time: int) -> None:
        self.now += timedelta(**time)
        self.emulators.clock.set(self.now)

    def load_amplitude(self, start: datetime, end: datetime) -> int:
        with warehouse.lock(self.settings.home, "test"):
            connection = warehouse.connect(self.settings)
            try:
                return load_events(connection, self.settings, start=start, end=end).loaded
            finally:
                connection.close()

    def load(self, *paths: Path) -> int:
        """Load MoEngage's and CleverTap's files; how many events were new."""
        moengage = [path for path in paths if path.name.startswith("moengage")]
        clevertap = [path for path in paths if path.name.startswith("clevertap")]
        with warehouse.lock(self.settings.home, "test"):
            connection = warehouse.connect(self.settings)
            try:
                new = load_moengage_events(connection, self.settings, moengage).loaded
                if clevertap:
                    new += load_clevertap_files(connection, self.settings, clevertap).loaded
                return new
            finally:
                connection.close()

    def plan(self, *syncs: str) -> PlanOutcome:
        with warehouse.lock(self.settings.home, "test"):
            return make_plan(self.settings, PlanRequest(syncs=syncs))

    def apply(self, plan_id: str) -> dict[str, Any]:
        with warehouse.lock(self.settings.home, "test"):
            result = apply_sealed(self.settings, plan_id)
        return {sync["name"]: sync for sync in result.document["syncs"]}

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with warehouse.lock(self.settings.home, "test"):
            connection = warehouse.connect(self.settings)
            try:
                return connection.execute(query).fetchall()
            finally:
                connection.close()

    def received(self) -> list[dict[str, Any]]:
        return self.emulators.amplitude.ingested()


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    with Emulators(clock=NOON) as emulators:
        emulators.clock.freeze()
        yield Story(emulators, tmp_path / "home")


def seen(user: str | None, device: str, amplitude_id: int, **properties: str) -> dict[str, Any]:
    return {
        "amplitude_id": amplitude_id,
        "user_id": user,
        "device_id": device,
        "event_type": "Opened",
        "event_time": "2026-03-02 08:00:00.000000",
        "server_upload_time": "2026-03-02 08:00:01.000000",
        "user_properties": properties,
    }


def moengage_file(folder: Path, name: str, *events: dict[str, Any]) -> Path:
    path = folder / f"moengage-{name}.json"
    lines = [json.dumps({"event": moengage_event(event)}) for event in events]
    path.write_text("\n".join(lines))
    return path


def clevertap_file(folder: Path, name: str, *rows: dict[str, Any]) -> Path:
    path = folder / f"clevertap-{name}.json"
    path.write_text("\n".join(["Notification Viewed", *map(json.dumps, rows)]))
    return path


def test_each_event_once_under_its_person_and_nothing_learnt(story: Story, tmp_path: Path) -> None:
    story.emulators.amplitude.add_events(
        PROJECT,
        [
            seen("Carla", "PAD-77", 211, CleverTap_Identity="crl-9"),
            seen("Kim-01", "kim-phone", 212),
        ],
    )
    eight = datetime(2026, 3, 2, 8, tzinfo=UTC)
    assert story.load_amplitude(eight, eight) == 2
    at = 1772434800
    moengage = moengage_file(
        tmp_path,
        "1",
        *({"event_uuid": f"m{n}", "uid": "Kim-01", "event_time": at + n} for n in range(3)),
        {"event_uuid": "nobody", "uid": None},
    )
    row = {"ts": 20260302120000, "profile": {"identity": "CRL-9"}, "eventProps": {"n": 1}}
    clevertap = clevertap_file(
        tmp_path, "1", row, row, {"ts": 20260302120001, "profile": {"objectId": "__hpad-77"}}
    )
    assert story.load(moengage, clevertap) == 7

    first = story.plan()
    assert first.plan is not None
    assert {sync.name: sync.added for sync in first.syncs} == {"ct": 3, "moe": 3}
    # The process dies after the request of `moe` was taken, before its answer was written down.
    body = (first.plan.folder / "moe.requests.ndjson").read_text().strip()
    with Ledger.open(story.settings.home) as ledger:
        ledger.append(
            "sending", at=story.now, plan_id=first.plan.plan_id, sync="moe", request=1, attempt=1
        )
    key = story.emulators.environ["AMPLITUDE_API_KEY"]
    taken = httpx.post(
        f"{story.emulators.environ['AMPLITUDE_INGEST_URL']}/batch",
        content=f'{{"api_key":"{key}",{body[1:]}',
        headers={"content-type": "application/json"},
        trust_env=False,
    )
    assert taken.status_code == 200
    assert len(story.received()) == 3

    # The next plan takes the doubtful ones again, and Amplitude knows their insert_id.
    second = story.plan("moe", "ct")
    assert second.plan is not None
    assert story.rows("select distinct reason from payloads.amplitude_events order by 1") == [
        ("arrived",),
        ("resend",),
    ]
    sent = story.apply(second.plan.plan_id)
    assert {name: sync["delivered"] for name, sync in sent.items()} == {"ct": 3, "moe": 3}
    assert Counter(event["user_id"] for event in story.received()) == {
        "Kim-01": 3,
        "Carla": 2,
        None: 1,
    }
    assert {event["amplitude_id"] for event in story.received()} == {211, 212}
    assert {event["event_properties"]["$source"] for event in story.received()} == {
        "MOENGAGE",
        "CLEVERTAP",
    }

    # Loaded again, planned again: nothing. A late event of an overlapping file: that one.
    story.wait(hours=4)
    assert story.load(moengage, clevertap) == 0
    assert story.plan().plan is None
    late = {"event_uuid": "late", "uid": "Kim-01", "event_time": at - 90_000}
    assert story.load(moengage_file(tmp_path, "2", {"event_uuid": "m1"}, late)) == 1
    story.wait(minutes=1)
    third = story.plan()
    assert third.plan is not None
    assert {sync.name: sync.added for sync in third.syncs if sync.added} == {"moe": 1}
    story.apply(third.plan.plan_id)
    assert len(story.received()) == 7

    # What was sent comes back by the export: known for what it is, and nobody is anybody else.
    people = "select * from identity.persons order by person_id"
    links = "select * from identity.links order by all"
    before = story.rows(people), story.rows(links)
    story.wait(hours=8)
    assert story.load_amplitude(NOON, NOON + timedelta(hours=5)) == 7
    story.wait(minutes=1)
    assert story.plan().plan is None
    assert (story.rows(people), story.rows(links)) == before
    assert story.rows(
        "select is_relayed, count(*) from staging.stg_amplitude__events group by 1 order by 1"
    ) == [(False, 2), (True, 7)]
    assert story.rows(
        "select count(*) from fields.lytics_event_rows as rows where to_json(rows)::varchar like"
        " '%relay:%'"
    ) == [(0,)]
    assert story.rows("select drop_reason from reports.dropped_events") == [("no_id",)]


def identities(folder: Path, *lines: str) -> Path:
    path = folder / "identities.csv"
    path.write_text("\n".join(["user_id,CleverTap_Identity", *lines]) + "\n", encoding="utf-8")
    return path


def test_the_common_identifier_is_set_once(story: Story, tmp_path: Path) -> None:
    path = identities(
        tmp_path,
        "cust-0001,ann@mail.example",
        "cust-0002,12345",
        "cust-0002,12345",
        "cust-0003,x",
        "cust-0003,y",
        " cust-0004 ,Jürgen & Co",
        "null,z",
        "bo,z",
        "cust-0005,",
        "cust-0006,a,b",
    )
    with warehouse.lock(story.settings.home, "test"):
        sealed = make_identify_plan(story.settings, path)
    assert sealed.plan is not None
    assert (sealed.rows, sealed.added, sealed.unchanged) == (10, 3, 1)
    assert {one.line: one.reason for one in sealed.dropped} == {
        5: "several_identities",
        6: "several_identities",
        8: "user_id_blocked",
        9: "user_id_too_short",
        10: "no_identity",
        11: "wrong_number_of_cells",
    }
    (sync,) = story.apply(sealed.plan.plan_id).values()
    assert (sync["delivered"], sync["pending"]) == (3, 0)
    users = story.emulators.amplitude.user_properties
    assert users("cust-0001") == {"CleverTap_Identity": "ann@mail.example"}
    assert users("cust-0004") == {"CleverTap_Identity": "Jürgen & Co"}
    # Nothing to set twice; another value is set.
    with warehouse.lock(story.settings.home, "test"):
        again = make_identify_plan(story.settings, path)
        assert (again.plan, again.added, again.unchanged) == (None, 0, 4)
        story.wait(minutes=1)
        changed = identities(tmp_path, "cust-0001,ann@new.example", "cust-0002,12345")
        moved = make_identify_plan(story.settings, changed)
    assert moved.plan is not None
    assert (moved.added, moved.unchanged) == (1, 1)
    story.apply(moved.plan.plan_id)
    assert users("cust-0001") == {"CleverTap_Identity": "ann@new.example"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"user_id\nx\n", r"line 1: expected a header"),
        (b"", r"line 1: expected a header"),
        (b"user_id,CleverTap_Identity\n\xff,x\n", "UTF-8"),
        (b'user_id,CleverTap_Identity\n"x"y,z\n', r"line 2: is not CSV"),
    ],
)
def test_a_file_that_is_none_is_refused_by_name(
    story: Story, tmp_path: Path, content: bytes, problem: str
) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(InputFileError, match=problem):
        make_identify_plan(story.settings, path)
    assert not story.settings.home.database.exists()
