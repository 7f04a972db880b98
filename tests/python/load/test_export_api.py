"""Events by the Export API, against the emulator with its faults switched on."""

import hashlib
import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from duckdb import DuckDBPyConnection

from load.made import (
    NOW,
    PROJECT,
    at,
    empty_warehouse,
    event,
    lines,
    open_warehouse,
    packed,
    settings_at,
    tables,
)
from relay import http
from relay.emulate import Emulators
from relay.emulate.amplitude.archive import Shape
from relay.errors import ConfigurationError
from relay.load.amplitude_events import load_events
from relay.load.result import LoadResult
from relay.settings import Settings

FAST = http.RetryPolicy(attempts=4, wait_initial=0.0, wait_max=0.0, retry_after_max=0.0)
BACKFILL = "amplitude: {backfill_days: 1}\n"


class Place:
    """A home with an open warehouse, and Amplitude's emulator."""

    def __init__(self, home: Path, emulators: Emulators, config: str = BACKFILL) -> None:
        self.emulators = emulators
        self.spans: list[tuple[str, str]] = []
        self.amplitude = emulators.amplitude
        self.settings: Settings = settings_at(home, emulators.environ, config)
        self.connection: DuckDBPyConnection = empty_warehouse()

    def put(self, *events: dict[str, Any]) -> None:
        self.amplitude.add_events(PROJECT, events)

    def load(self, **options: Any) -> LoadResult:
        return load_events(self.connection, self.settings, policy=FAST, **options)

    def to(self, moment: datetime) -> None:
        self.emulators.clock.set(moment)
        self.settings = at(self.settings, moment)

    def asked(self) -> list[tuple[str, str]]:
        """The spans asked for since this was asked last, by time."""
        spans = sorted(self.spans)
        self.spans.clear()
        return spans

    def states(self) -> dict[str, str]:
        found = self.connection.execute(
            "select strftime(hour, '%dT%H'), state from raw.loaded_windows order by hour"
        ).fetchall()
        return dict(found)

    def uuids(self) -> set[str]:
        found = self.connection.execute("select uuid::varchar from raw.amplitude_events").fetchall()
        assert len(found) == len(set(found))
        return {uuid for (uuid,) in found}

    def landed(self) -> list[str]:
        folder = self.settings.home.landing
        return sorted(p.name for p in folder.rglob("*") if p.is_file() and p.suffix != ".sha256")


@pytest.fixture
def place(tmp_path: Path, emulators: Emulators, monkeypatch: pytest.MonkeyPatch) -> Place:
    there = Place(tmp_path, emulators)
    real = http.stream

    def noted(client: httpx.Client, method: str, path: str, **how: Any) -> Any:
        there.spans.append((how["params"]["start"], how["params"]["end"]))
        return real(client, method, path, **how)

    monkeypatch.setattr(http, "stream", noted)
    return there


def hour(number: int, day: int = 2) -> datetime:
    return datetime(2026, 3, day, number, tzinfo=UTC)


def test_the_first_load_goes_back_and_stops_at_the_safe_horizon(place: Place) -> None:
    place.put(event(1, at=hour(13, 1)), event(2, at=hour(9)), event(3, at=hour(10)))
    result = place.load()
    assert (result.rows, result.loaded, result.exit_code) == (2, 2, 0)
    assert place.asked() == [("20260301T12", "20260301T23"), ("20260302T00", "20260302T09")]
    windows = {f"{w.hour:%dT%H}": w.state for w in result.windows}
    assert windows == place.states()
    assert windows["01T12"] == "empty"
    assert windows["01T13"] == windows["02T09"] == "loaded"
    assert [hour for hour, state in windows.items() if state == "pending"] == [
        "02T10",
        "02T11",
        "02T12",
    ]
    document = json.loads(json.dumps(result.document()))
    assert document["windows"][-1] == {"hour": "2026-03-02T12", "state": "pending"}
    assert document["loaded"] == 2


def test_the_calendar_says_when_and_from_which_bytes_an_hour_was_loaded(place: Place) -> None:
    place.put(event(1, at=hour(9)), event(2, at=hour(9)))
    place.load(start=hour(8), end=hour(9))
    found = place.connection.execute(
        "select state, row_count, source_file, sha256, loaded_at from raw.loaded_windows"
        " order by hour"
    ).fetchall()
    (landed,) = place.settings.home.landing.rglob("*.zip")
    source_file = landed.relative_to(place.settings.home.landing).as_posix()
    bytes_of = (source_file, hashlib.sha256(landed.read_bytes()).hexdigest())
    at_load = NOW.replace(tzinfo=None)
    assert found == [("empty", 0, *bytes_of, at_load), ("loaded", 2, *bytes_of, at_load)]


def test_times_of_the_future_and_garbage_move_nothing(place: Place) -> None:
    rows = [
        event(1, at=hour(9), event_time="2099-01-01 00:00:00.000000"),
        event(2, at=hour(9), event_time="garbage", client_event_time="0000"),
        event(3, at=hour(9), server_upload_time="2099-01-01 00:00:00.000000"),
    ]
    place.amplitude.add_export_member(PROJECT, hour(9), packed(lines(rows)))
    place.put(event(4, at=hour(9)))
    assert place.load().loaded == 4
    assert max(place.states()) == "02T12"
    place.asked()
    place.put(event(5, at=hour(12)))
    place.to(hour(15))
    assert place.load().loaded == 1
    assert max(end for _, end in place.asked()) == "20260302T12"


def test_loading_again_changes_nothing_but_reads_what_is_not_final(place: Place) -> None:
    place.put(event(1, at=hour(13, 1)), event(2, at=hour(9)))
    place.load()
    before, landed = tables(place.connection), place.landed()
    place.asked()
    again = place.load()
    assert (again.loaded, again.duplicates, again.rejected) == (0, 2, 0)
    assert tables(place.connection) == before
    assert place.landed() == landed
    assert place.asked() == [("20260301T12", "20260301T23"), ("20260302T00", "20260302T09")]


def test_a_late_event_is_found_until_its_hour_is_final(place: Place) -> None:
    place.put(event(1, at=hour(9)))
    place.load()
    place.put(event(2, at=hour(9)), event(3, at=hour(8)))
    assert (place.load().loaded, len(place.uuids())) == (2, 3)
    assert place.states()["02T08"] == "loaded"
    place.to(hour(12, 3))
    place.load()
    place.asked()
    place.put(event(4, at=hour(9)), event(5, at=hour(10)))
    # Read when it was 24 hours behind the horizon, hour 09 is final; hour 10 is not.
    place.to(hour(13, 3))
    place.load()
    assert place.asked() == [("20260302T10", "20260302T23"), ("20260303T00", "20260303T10")]
    assert len(place.uuids()) == 4


def test_pending_hours_are_loaded_once_they_are_safe_and_none_is_skipped(place: Place) -> None:
    place.put(*(event(n, at=hour(n % 24, 1 + n // 24)) for n in range(12, 72)))
    place.load()
    for moment in (hour(18, 2), hour(1, 3), hour(11, 4)):
        place.to(moment)
        assert place.load().failures == ()
    assert len(place.uuids()) == 60


def test_an_empty_day_stops_nothing(place: Place) -> None:
    result = place.load()
    assert (result.rows, result.failures) == (0, ())
    assert set(place.states().values()) == {"empty", "pending"}


def test_nothing_of_the_past_with_backfill_zero(tmp_path: Path, emulators: Emulators) -> None:
    place = Place(tmp_path, emulators, "amplitude: {backfill_days: 0}\n")
    place.put(event(1, at=hour(9)), event(2, at=hour(12)), event(3, at=hour(20)))
    assert [window.state for window in place.load().windows] == ["pending"]
    place.to(hour(23, 5))
    assert place.load().loaded == 2


def test_hours_that_are_named_are_loaded_whether_known_or_not(place: Place) -> None:
    place.put(event(1, at=hour(5, 1)), event(2, at=hour(6, 1)), event(3, at=hour(7, 1)))
    result = place.load(start=hour(5, 1), end=hour(6, 1))
    assert (result.loaded, len(result.windows)) == (2, 2)
    assert place.asked() == [("20260301T05", "20260301T06")]
    assert place.load(start=hour(5, 1), end=hour(6, 1)).duplicates == 2
    late = place.load(start=hour(9), end=hour(11))
    assert [window.state for window in late.windows] == ["empty", "pending", "pending"]
    # What was named is no beginning of the continuous load.
    place.asked()
    place.load()
    assert min(start for start, _ in place.asked()) == "20260301T12"


def test_from_after_to_is_refused(place: Place) -> None:
    with pytest.raises(ConfigurationError, match="is after"):
        place.load(start=hour(6, 1), end=hour(5, 1))


def test_a_project_that_is_named_is_kept_with_each_event(place: Place) -> None:
    place.put(event(1, at=hour(9)))
    place.load(project="shop")
    found = place.connection.execute("select project, app from raw.amplitude_events").fetchall()
    assert found == [("shop", int(PROJECT))]
    with pytest.raises(ConfigurationError, match="project"):
        place.load(project="../x")


@pytest.mark.parametrize("kind", ["too large", "too slow"])
def test_a_span_that_is_too_much_is_halved_and_one_hour_fails_by_name(
    place: Place, kind: str
) -> None:
    big = [event(n, at=hour(3)) for n in range(60)]
    small = [event(100 + n, at=hour(n)) for n in range(9) if n != 3]
    place.put(*big, *small)
    if kind == "too slow":
        place.amplitude.switches.export_timeout_lines = 20
    else:
        place.amplitude.switches.export_max_bytes = 5_000
        place.amplitude.switches.archive = Shape(lines_per_member=1)
    result = place.load(start=hour(0), end=hour(8))
    assert [failure.name for failure in result.failures] == ["hour 2026-03-02T03"]
    assert result.exit_code == 1
    assert ("relay load events --path" in result.failures[0].reason) == (kind == "too large")
    assert len(place.uuids()) == 8
    assert place.states()["02T03"] == "failed"
    place.amplitude.switches.export_timeout_lines = None
    place.amplitude.switches.export_max_bytes = 1 << 30
    assert place.load().loaded == 60
    assert place.states()["02T03"] == "loaded"


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 429},
        {"kind": "status", "status": 503},
        {"kind": "html", "status": 502},
        {"kind": "reset"},
        {"kind": "cut"},
    ],
)
def test_what_may_pass_is_tried_again_at_the_same_hour(place: Place, fault: dict[str, Any]) -> None:
    place.put(*(event(n, at=hour(9)) for n in range(50)))
    place.amplitude.faults.add(route="export", times=2, **fault)
    result = place.load(start=hour(9), end=hour(9))
    assert (result.loaded, result.failures) == (50, ())
    assert place.asked() == [("20260302T09", "20260302T09")] * 3
    assert len(place.landed()) == 1


def test_amplitude_out_of_reach_leaves_the_rest_pending(place: Place) -> None:
    place.put(event(1, at=hour(13, 1)), event(2, at=hour(9)))
    place.amplitude.faults.add("status", "export", times=None, status=500)
    result = place.load()
    assert result.exit_code == 1
    assert "after 4 attempts (HTTP 500" in result.failures[0].reason
    assert set(place.states().values()) == {"pending"}
    place.amplitude.faults.clear()
    assert place.load().loaded == 2


def test_refused_keys_stop_everything_and_name_what_to_check(place: Place) -> None:
    env = place.settings.env.model_copy(update={"amplitude_api_key": None})
    with pytest.raises(ConfigurationError, match="AMPLITUDE_API_KEY is not set"):
        load_events(place.connection, replace(place.settings, env=env))
    place.amplitude.faults.add("status", "export", times=None, status=403)
    with pytest.raises(ConfigurationError) as caught:
        place.load()
    text = str(caught.value)
    assert "AMPLITUDE_SECRET_KEY" in text
    assert "AMPLITUDE_REGION, which is eu" in text
    assert "emulated-amplitude" not in text
    assert len(place.asked()) <= 4
    assert set(place.states().values()) == {"pending"}


@pytest.mark.parametrize("kind", ["truncated", "corrupted"])
def test_an_archive_that_is_not_whole_fails_by_name_and_is_asked_for_again(
    place: Place, kind: str
) -> None:
    place.put(*(event(n, at=hour(8 + n % 2)) for n in range(50)))
    place.amplitude.faults.add(kind, "export")  # type: ignore[arg-type]
    result = place.load(start=hour(8), end=hour(9))
    assert [failure.name for failure in result.failures] == ["hours 2026-03-02T08 to 2026-03-02T09"]
    assert (result.exit_code, place.uuids()) == (1, set())
    assert place.states() == {"02T08": "failed", "02T09": "failed"}
    refused = place.landed()
    assert len(refused) == 1
    assert place.load(start=hour(8), end=hour(9)).loaded == 50
    assert set(place.states().values()) == {"loaded"}
    assert refused[0] in place.landed()


def test_a_damaged_archive_takes_nothing_away_from_hours_that_are_loaded(place: Place) -> None:
    place.put(event(1, at=hour(9)))
    place.load()
    place.amplitude.faults.add("corrupted", "export", times=None)
    assert place.load().exit_code == 1
    assert place.states()["02T09"] == "loaded"


def test_one_span_refused_among_several_leaves_the_others_loaded(place: Place) -> None:
    place.put(event(1, at=hour(13, 1)), event(2, at=hour(9)))
    place.amplitude.add_export_member(PROJECT, hour(20, 1), packed(b"{}\n")[:-2])
    result = place.load()
    assert [failure.name for failure in result.failures] == ["hours 2026-03-01T12 to 2026-03-01T23"]
    assert (result.loaded, place.states()["02T09"], place.states()["01T13"]) == (
        1,
        "loaded",
        "failed",
    )


def test_lines_set_aside_end_with_code_four_and_are_kept_once(place: Place) -> None:
    place.put(event(1, at=hour(9)))
    place.amplitude.add_export_member(PROJECT, hour(9), packed(b"not json\n{}\n"))
    assert (place.load().rejected, place.load().exit_code) == (2, 4)
    place.put(event(2, at=hour(9)))
    result = place.load()
    assert (result.rejected, result.loaded) == (2, 1)
    found = place.connection.execute(
        "select parse_filename(source_file), line_number, content from raw.rejected_rows order by 2"
    ).fetchall()
    member = f"{PROJECT}_2026-03-02_9#0.json.gz"
    assert found == [(member, 1, b"not json"), (member, 2, b"{}")]


def test_at_most_four_requests_are_out_at_once(tmp_path: Path, emulators: Emulators) -> None:
    place = Place(tmp_path, emulators, "amplitude: {backfill_days: 12}\n")
    place.amplitude.switches.rest_in_flight = 4
    place.amplitude.faults.add("slow", "export", times=None, seconds=0.05)
    answered = len(place.amplitude.log)
    assert place.load().failures == ()
    statuses = {exchange.status for exchange in place.amplitude.log[answered:]}
    assert statuses == {404}


def test_a_stopped_load_keeps_what_it_has_and_goes_on_later(place: Place) -> None:
    place.put(event(1, at=hour(13, 1)), event(2, at=hour(9)))
    stop = threading.Event()
    stop.set()
    result = place.load(stop=stop)
    assert (result.loaded, set(place.states().values())) == (0, {"pending"})
    assert stop.is_set()
    assert place.load().loaded == 2


def test_keys_are_nowhere_in_what_is_kept(place: Place) -> None:
    place.put(event(1, at=hour(9)))
    place.connection = open_warehouse(place.settings)
    place.load()
    place.connection.close()
    for path in place.settings.home.root.rglob("*"):
        if path.is_file():
            assert b"emulated-amplitude" not in path.read_bytes(), path


def test_ages_of_hours_are_judged_when_they_are_asked_for(place: Place) -> None:
    place.load(start=hour(0, 1), end=hour(9))
    found = place.connection.execute(
        "select strftime(max(hour) filter (where is_final), '%dT%H') from raw.loaded_windows"
    ).fetchall()
    assert found == [(f"{NOW - timedelta(hours=27):%dT%H}",)]
