"""CleverTap's events API against its emulator: days whole, pages waited for, no half loads."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from relay import warehouse
from relay.emulate.house import Emulators
from relay.errors import ConfigurationError
from relay.load.clevertap_api import Patience, load_clevertap_events
from relay.load.result import LoadResult
from relay.settings import Settings, load_settings

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
FIRST, LAST = date(2026, 3, 1), date(2026, 3, 2)
QUICK = Patience(first_seconds=0.0, most_seconds=0.0, total_seconds=0.0)


@pytest.fixture(scope="module")
def emulators() -> Iterator[Emulators]:
    with Emulators(clock=NOON) as house:
        yield house


@pytest.fixture
def settings(emulators: Emulators, tmp_path: Path) -> Settings:
    environ = {**emulators.environ, "RELAY_NOW": NOON.isoformat()}
    return load_settings(tmp_path / "home", environ=environ)


@pytest.fixture
def connection(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    opened = warehouse.connect(settings)
    yield opened
    opened.close()


def serve(emulators: Emulators, name: str, *events: tuple[str, datetime, int]) -> None:
    emulators.clevertap.events_api.add(
        name,
        [{"identity": user, "ts": at, "event_props": {"n": n}} for user, at, n in events],
    )


def read(
    connection: duckdb.DuckDBPyConnection, settings: Settings, *names: str, **options: Any
) -> LoadResult:
    days = {"first": FIRST, "last": LAST}
    return load_clevertap_events(
        connection, settings, names, **{"patience": Patience(0.01, 0.05, 5.0), **days, **options}
    )


def stored(connection: duckdb.DuckDBPyConnection, columns: str, name: str) -> list[Any]:
    return connection.execute(
        f"select {columns} from raw.clevertap_events where event_name = ? order by all", [name]
    ).fetchall()


def test_every_page_of_every_day_is_read(
    emulators: Emulators, settings: Settings, connection: duckdb.DuckDBPyConnection
) -> None:
    # Midnight is the project's: 18:29 UTC is still the day, 18:30 the next one in Kolkata.
    end_of_first = datetime(2026, 3, 1, 18, 29, tzinfo=UTC)
    events = [(f"u-{n}", end_of_first - timedelta(seconds=n), n) for n in range(5200)]
    serve(emulators, "Charged", *events, ("late", end_of_first + timedelta(minutes=1), 1))
    emulators.clevertap.switches.events_in_progress = 2
    result = read(connection, settings, "Charged")
    emulators.clevertap.switches.events_in_progress = 1
    assert (result.loaded, result.rejected, result.exit_code) == (5201, 0, 0)
    assert result.document()["days"] == [
        {"event": "Charged", "day": "2026-03-01", "state": "loaded", "rows": 5200},
        {"event": "Charged", "day": "2026-03-02", "state": "loaded", "rows": 1},
    ]
    assert stored(connection, "count(distinct identity), count(*)", "Charged") == [(5201, 5201)]
    # The bytes of both pages of the first day are there.
    assert len([name for name in result.files if "/20260301/" in name]) == 2
    again = read(connection, settings, "Charged")
    assert (again.loaded, again.duplicates) == (0, 5201)


def test_what_a_day_has_no_more_is_withdrawn_and_may_come_back(
    emulators: Emulators, settings: Settings, connection: duckdb.DuckDBPyConnection
) -> None:
    at = datetime(2026, 3, 2, 6, tzinfo=UTC)
    both = [("stays", at, 1), ("goes", at, 1), ("goes", at, 1)]
    serve(emulators, "Booked", *both)
    read(connection, settings, "Booked")
    held = emulators.clevertap.events_api._served
    held["Booked"] = held["Booked"][:2]
    read(connection, settings, "Booked")
    assert stored(connection, "identity, occurrence, is_withdrawn", "Booked") == [
        ("goes", 1, False),
        ("goes", 2, True),
        ("stays", 1, False),
    ]
    before = stored(connection, "load_id, event_key", "Booked")
    serve(emulators, "Booked", both[2])
    assert read(connection, settings, "Booked").loaded == 0
    assert stored(connection, "bool_or(is_withdrawn)", "Booked") == [(False,)]
    assert stored(connection, "load_id, event_key", "Booked") == before


def test_a_page_that_never_gets_ready_stores_nothing(
    emulators: Emulators, settings: Settings, connection: duckdb.DuckDBPyConnection
) -> None:
    serve(emulators, "Searched", ("ann", datetime(2026, 3, 1, 6, tzinfo=UTC), 1))
    emulators.clevertap.switches.events_in_progress = 50
    result = read(connection, settings, "Searched", patience=QUICK, last=FIRST)
    emulators.clevertap.switches.events_in_progress = 1
    assert result.exit_code == 1
    assert "still preparing" in result.failures[0].reason
    assert stored(connection, "*", "Searched") == []
    assert connection.execute("select count(*) from raw.clevertap_windows").fetchall() == [(0,)]


def test_engagement_events_are_pointed_to_the_files(
    settings: Settings, connection: duckdb.DuckDBPyConnection
) -> None:
    result = read(connection, settings, "Notification Viewed", "Nobody Knows", last=FIRST)
    reasons = [failure.reason for failure in result.failures]
    assert "clevertap-events --path" in reasons[0]
    assert "Invalid event" in reasons[1]


def test_wrong_keys_stop_at_once(
    emulators: Emulators, settings: Settings, connection: duckdb.DuckDBPyConnection
) -> None:
    environ = {**emulators.environ, "CLEVERTAP_PASSCODE": "wrong-passcode"}
    other = load_settings(settings.home.root, environ=environ)
    with pytest.raises(ConfigurationError, match="CLEVERTAP_PASSCODE") as caught:
        read(connection, other, "Charged")
    assert "wrong-passcode" not in str(caught.value)
    for missing in ("CLEVERTAP_PASSCODE", "CLEVERTAP_TIMEZONE"):
        environ = {name: value for name, value in emulators.environ.items() if name != missing}
        with pytest.raises(ConfigurationError, match=missing):
            read(connection, load_settings(settings.home.root, environ=environ), "Charged")


def answers(*documents: object) -> httpx.MockTransport:
    """A service that gives these answers in order: documents, or statuses."""
    left = list(documents)

    def answer(request: httpx.Request) -> httpx.Response:
        document = left.pop(0)
        if isinstance(document, int):
            return httpx.Response(document, json={"status": "fail", "error": "no", "code": 1})
        return httpx.Response(200, json=document)

    return httpx.MockTransport(answer)


PAGE = {"profile": {"identity": "ann"}, "ts": 20260301120000, "event_props": {}}
BEGUN = {"status": "success", "cursor": "a%2Fb"}


@pytest.mark.parametrize(
    ("documents", "loaded", "failure"),
    [
        ([BEGUN, {"status": "success"}], 0, None),
        (
            [BEGUN, {"status": "partial", "code": 1}, {"status": "success", "records": [PAGE]}],
            1,
            "",
        ),
        ([429, BEGUN, 503, {"status": "success", "records": [PAGE]}], 1, ""),
        (
            [BEGUN, {"status": "success", "records": [PAGE], "next_cursor": "a%2Fb"}],
            0,
            "the cursor came again",
        ),
        ([BEGUN, 404], 0, "404"),
        ([[1]], 0, "no JSON object"),
        ([{"status": "fail", "error": "Incorrect Usage", "code": 3}], 0, "Incorrect Usage"),
    ],
)
def test_every_answer_ends_in_a_loaded_day_or_a_named_failure(
    settings: Settings,
    connection: duckdb.DuckDBPyConnection,
    monkeypatch: pytest.MonkeyPatch,
    documents: list[object],
    loaded: int,
    failure: str | None,
) -> None:
    monkeypatch.setattr("relay.http.RetryPolicy.wait", lambda *_: 0.0)
    result = read(connection, settings, "Tested", last=FIRST, transport=answers(*documents))
    assert result.loaded == loaded
    if failure:
        assert failure in result.failures[0].reason
        assert stored(connection, "*", "Tested") == []
    else:
        assert result.failures == ()


def test_a_cursor_goes_out_as_it_came(
    settings: Settings, connection: duckdb.DuckDBPyConnection
) -> None:
    asked: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path)
        return httpx.Response(
            200, json=BEGUN if request.method == "POST" else {"status": "success"}
        )

    read(connection, settings, "Tested", last=FIRST, transport=httpx.MockTransport(answer))
    assert asked[1] == b"/1/events.json?cursor=a%2Fb"
