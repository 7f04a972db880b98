"""Cohorts by the API, against the emulator: the budget is spent once, the list is believed."""

import json
import threading
from contextlib import nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from duckdb import DuckDBPyConnection

import relay.sync
from load.made import NOW, at, empty_warehouse, settings_at, tables
from relay import http
from relay.emulate import Emulators
from relay.errors import BudgetError, ConfigurationError
from relay.load.amplitude_cohorts import load_cohorts
from relay.load.cohort_list import ask_for_list
from relay.load.cohort_properties import properties_for
from relay.load.result import LoadResult

FAST = http.RetryPolicy(attempts=3, wait_initial=0.0, wait_max=0.0, retry_after_max=0.0)
CONFIG = """
cohort_syncs:
  - {name: cart, cohort_id: cart0001, destination: clevertap,
     user_id_from: [CleverTap_Identity, user_id]}
"""
LYTICS = "cohort_syncs:\n  - {name: everything, cohort_id: all, destination: lytics}\n"
COMPUTED = NOW - timedelta(hours=5)
MEMBERS = [(1, "u1", {"CleverTap_Identity": "X", "city": "Pune"}), (2, None), (3, "u3")]


class Place:
    """A home, raw tables, and Amplitude's emulator with one cohort."""

    def __init__(self, home: Path, emulators: Emulators, config: str = CONFIG) -> None:
        self.emulators = emulators
        self.amplitude = emulators.amplitude
        self.settings = settings_at(home, emulators.environ, config)
        self.connection: DuckDBPyConnection = empty_warehouse()
        self.put("cart0001", COMPUTED)
        self.seen = len(self.amplitude.log)

    def put(self, cohort_id: str, computed: datetime | None, **about: Any) -> None:
        about = {"members": MEMBERS} | about
        self.amplitude.set_cohort(cohort_id, about.pop("name", "Cart"), None, computed, **about)

    def load(self, **options: Any) -> LoadResult:
        return load_cohorts(self.connection, self.settings, policy=FAST, **options)

    def to(self, moment: datetime) -> None:
        """Let time pass, there and here."""
        self.emulators.clock.set(moment)
        self.settings = at(self.settings, moment)

    def states(self, result: LoadResult) -> dict[str, str]:
        return {cohort["cohort_id"]: cohort["state"] for cohort in result.document()["cohorts"]}

    def routes(self) -> list[str]:
        """The requests since this was asked last, the list left out."""
        new = self.amplitude.log[self.seen :]
        self.seen += len(new)
        return [exchange.route for exchange in new if exchange.route != "cohorts"]

    def spent(self) -> int:
        return sum(self.amplitude.cohorts.requests_by_month.values())

    def requests(self) -> list[tuple[str, str | None]]:
        return self.connection.execute(
            "select state, source_file from raw.cohort_requests order by last_computed, rowid"
        ).fetchall()

    def members(self) -> list[Any]:
        return self.connection.execute(
            "select amplitude_id, user_id, properties from raw.amplitude_cohort_members"
            " where left_at is null order by 1"
        ).fetchall()


@pytest.fixture
def place(tmp_path: Path, emulators: Emulators) -> Place:
    return Place(tmp_path, emulators)


def route_names(place: Place) -> tuple[str, str, str]:
    place.load()
    request, *polls, file = place.routes()
    assert len(set(polls)) == 1
    return request, polls[0], file


def test_list_request_poll_file_and_the_snapshot_is_there(place: Place) -> None:
    result = place.load()
    assert (result.rows, result.loaded, result.exit_code) == (3, 3, 0)
    assert place.members() == [
        (1, "u1", '{"CleverTap_Identity":"X"}'),
        (2, None, "{}"),
        (3, "u3", "{}"),
    ]
    request, *polls, file = place.routes()
    assert (len(polls), len({request, file, *polls})) == (3, 3)
    (snapshot,) = place.connection.execute(
        "select snapshot_id, cohort_name, app_id, declared_size, row_count, source_file"
        " from raw.amplitude_cohort_snapshots"
    ).fetchall()
    assert snapshot[:5] == ("cart0001@20260302T073000Z", "Cart", 829528, 3, 3)
    assert (place.settings.home.landing / snapshot[5]).read_text().startswith('"amplitude_id"')
    ((state, source_file),) = place.requests()
    assert (state, source_file) == ("loaded", snapshot[5])
    document = json.loads(json.dumps(result.document()))
    assert document["budget"]["used"] == 1
    assert document["windows"] == []


def test_loading_again_asks_for_the_list_only_and_changes_nothing(place: Place) -> None:
    place.load()
    before = tables(place.connection)
    place.routes()
    assert place.states(place.load()) == {"cart0001": "unchanged"}
    assert (place.routes(), tables(place.connection)) == ([], before)
    place.put("cart0001", COMPUTED + timedelta(hours=1), members=[(1, "u1")])
    assert place.states(place.load()) == {"cart0001": "loaded"}
    assert [row[0] for row in place.members()] == [1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cohort_inline_bytes", 0),
        ("cohort_tab_prefix", True),
        ("cohort_repeated_header", True),
        ("cohort_gzip_body", True),
    ],
)
def test_every_form_of_the_file_gives_the_same_members(place: Place, name: str, value: Any) -> None:
    setattr(place.amplitude.switches, name, value)
    assert place.load().loaded == 3
    assert [row[:2] for row in place.members()] == [(1, "u1"), (2, None), (3, "u3")]


def test_a_redirect_goes_without_credentials_and_a_stale_link_is_asked_for_anew(
    place: Place,
) -> None:
    place.amplitude.switches.cohort_inline_bytes = 0
    files = place.emulators.files
    files.faults.add("status", times=1, status=403)
    seen = len(files.log)
    assert place.load().loaded == 3
    taken = files.log[seen:]
    assert [exchange.status for exchange in taken] == [403, 200]
    assert not any(exchange.authorization for exchange in taken)


def test_a_short_file_is_refused_kept_and_not_paid_for_twice(place: Place) -> None:
    place.load()
    place.put("cart0001", COMPUTED + timedelta(hours=1), size=50, members=[(1, "u1")])
    result = place.load()
    assert (place.states(result), result.exit_code) == ({"cart0001": "refused"}, 1)
    assert "has 1 members, Amplitude declares 50" in result.failures[0].reason
    assert len(place.members()) == 3
    state, source_file = place.requests()[-1]
    assert state == "refused"
    assert (place.settings.home.landing / str(source_file)).exists()
    place.routes()
    assert place.states(place.load()) == {"cart0001": "refused"}
    assert (place.routes(), place.spent()) == ([], 2)
    assert place.states(place.load(accept_snapshot=True)) == {"cart0001": "loaded"}
    assert (place.routes(), place.spent(), len(place.members())) == ([], 2, 1)


@pytest.mark.parametrize("kind", ["truncated", "cut", "reset"])
def test_a_file_damaged_on_its_way_is_fetched_again_from_the_same_request(
    place: Place, kind: str
) -> None:
    file = route_names(place)[2]
    place.put(
        "cart0001", COMPUTED + timedelta(hours=1), members=[(n, f"u{n}") for n in range(1, 99)]
    )
    place.amplitude.faults.add(kind, file)  # type: ignore[arg-type]
    assert place.states(place.load()) == {"cart0001": "loaded"}
    assert (len(place.members()), place.spent()) == (98, 2)


def test_the_size_counts_only_while_the_cohort_was_not_computed_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ask_for_list

    def moved(api: Any) -> Any:
        place.put("cart0001", COMPUTED + timedelta(hours=2), size=77)
        return real(api)

    monkeypatch.setattr("relay.load.cohort_run.ask_for_list", moved)
    assert place.states(place.load()) == {"cart0001": "loaded"}
    found = place.connection.execute(
        "select last_computed, declared_size from raw.amplitude_cohort_snapshots"
    ).fetchall()
    assert found == [(COMPUTED.replace(tzinfo=None), None)]


def test_a_run_that_was_stopped_goes_on_polling_the_same_request(place: Place) -> None:
    stop = threading.Event()
    place.amplitude.switches.cohort_polls = 1_000_000
    threading.Timer(0.3, stop.set).start()
    result = place.load(stop=stop)
    assert (place.states(result), result.exit_code) == ({"cart0001": "waiting"}, 1)
    assert place.requests() == [("requested", None)]
    (job,) = place.amplitude.cohorts.jobs.values()
    job.polls_left = 1
    place.routes()
    assert place.states(place.load()) == {"cart0001": "loaded"}
    assert place.spent() == 1


def test_a_job_that_fails_is_named_and_asked_for_anew_by_the_next_run(place: Place) -> None:
    _, poll, file = route_names(place)
    place.put("cart0001", COMPUTED + timedelta(hours=1))
    place.amplitude.faults.add("status", poll, times=None, status=500)
    result = place.load()
    assert place.states(result) == {"cart0001": "failed"}
    assert place.requests()[-1][0] == "failed"
    place.amplitude.faults.clear()
    assert place.states(place.load()) == {"cart0001": "loaded"}
    place.put("cart0001", COMPUTED + timedelta(hours=2))
    place.amplitude.faults.add("status", file, times=None, status=404)
    assert place.states(place.load()) == {"cart0001": "failed"}
    assert place.requests()[-1][0] == "expired"


def test_polls_that_go_unanswered_leave_the_request_open(place: Place) -> None:
    poll = route_names(place)[1]
    place.put("cart0001", COMPUTED + timedelta(hours=1))
    place.amplitude.faults.add("reset", poll, times=None)
    assert place.states(place.load()) == {"cart0001": "failed"}
    assert place.requests()[-1][0] == "requested"
    place.amplitude.faults.clear()
    assert place.states(place.load()) == {"cart0001": "loaded"}
    assert place.spent() == 2


def test_polling_has_a_cap_and_the_next_run_goes_on_with_the_same_request(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.load.cohort_download.LONGEST_POLLING_SECONDS", 0.1)
    place.amplitude.switches.cohort_polls = 1_000
    result = place.load()
    assert place.states(result) == {"cart0001": "failed"}
    assert "it goes on with the same request" in result.failures[0].reason
    assert place.requests() == [("requested", None)]
    (job,) = place.amplitude.cohorts.jobs.values()
    job.polls_left = 0
    assert place.states(place.load()) == {"cart0001": "loaded"}
    assert place.spent() == 1


def test_a_sync_downloads_a_cohort_when_it_is_due_or_named(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.warehouse.connect", lambda _: nullcontext(place.connection))
    monkeypatch.setattr(relay.sync, "load_events", lambda *_, **__: LoadResult("amplitude_events"))

    def load(*named: str) -> dict[str, str]:
        _, cohorts = relay.sync.load(place.settings, named, threading.Event())
        return place.states(cohorts)

    assert load() == {"cart0001": "loaded"}
    place.put("cart0001", COMPUTED + timedelta(hours=1), members=[(1, "u1")])
    assert load() == {"cart0001": "not_due"}
    assert load("cart") == {"cart0001": "loaded"}
    place.put("cart0001", COMPUTED + timedelta(hours=2), members=[(2, "u2")])
    place.to(NOW + timedelta(hours=12))
    assert load() == {"cart0001": "loaded"}
    assert place.spent() == 3


def test_a_request_without_an_answer_is_not_repeated_and_counts_as_spent(place: Place) -> None:
    request = route_names(place)[0]
    place.put("cart0001", COMPUTED + timedelta(hours=1))
    place.amplitude.faults.add("reset", request, stored=True, times=None)
    place.routes()
    result = place.load()
    assert (place.states(result), place.routes()) == ({"cart0001": "failed"}, [request])
    assert place.requests()[-1][0] == "lost"
    assert result.document()["budget"]["used"] == 2


@pytest.mark.parametrize("status", [429, 503])
def test_a_request_that_was_not_taken_is_repeated(place: Place, status: int) -> None:
    request = route_names(place)[0]
    place.put("cart0001", COMPUTED + timedelta(hours=1))
    place.amplitude.faults.add("status", request, times=2, status=status)
    assert place.states(place.load()) == {"cart0001": "loaded"}
    assert place.spent() == 2


def test_refused_keys_stop_the_load(place: Place) -> None:
    place.amplitude.faults.add("status", times=None, status=403)
    with pytest.raises(ConfigurationError, match="AMPLITUDE_REGION"):
        place.load()
    assert place.spent() == 0


def test_archived_vanished_and_other_cohorts_are_reported_and_never_emptied(
    tmp_path: Path, emulators: Emulators
) -> None:
    place = Place(tmp_path, emulators, LYTICS)
    place.put("arch0001", COMPUTED, archived=True)
    place.put("never001", None)
    group = {"definition": {"countGroup": {"name": "company", "is_computed": False}}}
    place.put("groups01", COMPUTED, **group)
    result = place.load()
    assert place.states(result) == {"cart0001": "loaded", "never001": "not_computed"}
    named = place.load(cohort_ids=["arch0001", "groups01", "nowhere1"])
    assert place.states(named) == {
        "arch0001": "archived",
        "groups01": "failed",
        "nowhere1": "failed",
    }
    assert place.spent() == 1
    place.amplitude.remove_cohort("cart0001")
    gone = place.load(cohort_ids=["cart0001"])
    assert (place.states(gone), gone.exit_code) == ({"cart0001": "vanished"}, 0)
    assert "its last snapshot stays" in gone.notes[0].reason
    assert len(place.members()) == 3
    found = place.connection.execute(
        "select cohort_id from raw.amplitude_cohorts where vanished_at is not null"
    ).fetchall()
    assert found == [("cart0001",)]
    place.put("cart0001", COMPUTED)
    place.load()
    found = place.connection.execute(
        "select count(*) from raw.amplitude_cohorts where vanished_at is not null"
    ).fetchall()
    assert found == [(0,)]


def test_one_cohort_refused_among_several_leaves_the_others_loaded(
    tmp_path: Path, emulators: Emulators
) -> None:
    place = Place(tmp_path, emulators, LYTICS)
    place.put("bad00001", COMPUTED, file=b'"amplitude_id","user_id"\n"1","a', size=1)
    for number in range(6):
        place.put(f"good{number:04}", COMPUTED)
    result = place.load()
    assert result.exit_code == 1
    assert [failure.name for failure in result.failures] == ["cohort bad00001"]
    assert sum(state == "loaded" for state in place.states(result).values()) == 7


def test_downloads_are_paced_but_not_a_first_snapshot(tmp_path: Path, emulators: Emulators) -> None:
    config = LYTICS + "amplitude: {monthly_cohort_downloads: 65}\n"
    hourly = config.replace("destination: lytics", "destination: lytics, frequency: hourly")
    place = Place(tmp_path, emulators, hourly)
    place.put("other001", COMPUTED)
    assert set(place.states(place.load()).values()) == {"loaded"}
    later = COMPUTED + timedelta(hours=1)
    place.put("cart0001", later)
    place.put("other001", later)
    result = place.load()
    assert (set(place.states(result).values()), result.exit_code) == ({"paced"}, 0)
    assert "waits until" in result.notes[0].reason
    place.settings = at(place.settings, NOW + timedelta(hours=13))
    assert sorted(place.states(place.load()).values()) == ["loaded", "paced"]
    assert set(place.states(place.load(is_paced=False)).values()) == {"loaded", "unchanged"}


def test_a_scheduled_load_downloads_once_a_due_time_however_often_a_cohort_moves(
    place: Place,
) -> None:
    due: list[datetime | None] = []

    def is_due(_: str, last: datetime | None) -> bool:
        due.append(last)
        return last is not None and place.settings.now() > last

    assert place.states(place.load(is_due=is_due)) == {"cart0001": "loaded"}
    place.put("cart0001", COMPUTED + timedelta(hours=1), members=[(1, "u1")])
    result = place.load(is_due=is_due)
    assert (place.states(result), result.exit_code) == ({"cart0001": "not_due"}, 0)
    assert (place.spent(), len(place.members())) == (1, 3)
    place.settings = at(place.settings, NOW + timedelta(hours=12))
    assert place.states(place.load(is_due=is_due)) == {"cart0001": "loaded"}
    assert (place.spent(), due) == (2, [NOW, NOW])


def test_a_cohort_that_cannot_be_made_does_not_use_up_the_month(place: Place) -> None:
    poll = route_names(place)[1]
    place.put("cart0001", COMPUTED + timedelta(hours=1))
    place.amplitude.faults.add("status", poll, times=None, status=400)
    # Once more at once, then after 1, 2, 4, … hours.
    for minute in range(0, 12 * 60, 30):
        place.to(NOW + timedelta(minutes=minute))
        result = place.load()
        assert place.states(result) == {"cart0001": "failed"}
    assert "downloads in a row failed; the next try is after" in result.failures[0].reason
    assert place.spent() == 1 + 5
    assert place.states(place.load(cohort_ids=["cart0001"], is_paced=False)) == {
        "cart0001": "failed"
    }
    assert place.spent() == 1 + 6
    place.amplitude.faults.clear()
    place.to(NOW + timedelta(days=2))
    assert place.states(place.load()) == {"cart0001": "loaded"}


def test_progress_tells_of_cohorts_bytes_and_members(place: Place) -> None:
    class Told:
        expected = done = size = rows = 0

        def expect(self, hours: int) -> None:
            self.expected = hours

        def advance(self, hours: int) -> None:
            self.done += hours

        def received(self, size: int) -> None:
            self.size += size

        def stored(self, rows: int) -> None:
            self.rows += rows

    told = Told()
    place.load(progress=told)
    (source_file,) = place.connection.execute(
        "select source_file from raw.amplitude_cohort_snapshots"
    ).fetchall()[0]
    size = (place.settings.home.landing / source_file).stat().st_size
    assert (told.expected, told.done, told.size, told.rows) == (1, 1, size, 3)


def test_a_budget_that_is_used_up_says_when_it_resets(place: Place) -> None:
    place.load()
    place.connection.execute(
        "insert into raw.cohort_requests"
        " select 'r' || range, 'x', timestamp '2026-03-01', null, 'loaded', null, null"
        " from range(499)"
    )
    place.put("cart0001", COMPUTED + timedelta(hours=1))
    result = place.load()
    assert result.exit_code == 1
    assert "500 of 500 are used" in result.failures[0].reason
    assert "2026-04-01T00:00:00Z" in result.failures[0].reason
    assert place.spent() == 1


def test_a_schedule_that_can_never_fit_is_refused(tmp_path: Path, emulators: Emulators) -> None:
    place = Place(tmp_path, emulators, CONFIG + "amplitude: {monthly_cohort_downloads: 20}\n")
    with pytest.raises(BudgetError, match="are allowed"):
        place.load()
    assert place.spent() == 0


def test_no_cohort_sync_asks_for_nothing(tmp_path: Path, emulators: Emulators) -> None:
    place = Place(tmp_path, emulators, "")
    result = place.load()
    assert (result.rows, result.document()["cohorts"]) == (0, [])
    assert len(place.amplitude.log) == place.seen


def test_properties_are_those_that_syncs_and_mappings_read(
    tmp_path: Path, emulators: Emulators
) -> None:
    place = Place(tmp_path, emulators, CONFIG)
    assert properties_for(place.settings, "cart0001") == ["CleverTap_Identity"]
    lytics = Place(tmp_path / "other", emulators, LYTICS)
    names = properties_for(lytics.settings, "cart0001")
    assert {"carrier", "city", "start_version", "version"} <= set(names)
    assert not any(name in names for name in ("user_id", "amplitude_id", "last_computed"))
    assert not any("(" in name for name in names)


def test_a_request_is_adopted_whose_id_landed_but_did_not_get_into_the_ledger(
    place: Place,
) -> None:
    place.amplitude.switches.cohort_polls = 1_000_000
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    place.load(stop=stop)
    place.connection.execute(
        "update raw.cohort_requests set state = 'sending', request_id = 'sending:cart0001'"
    )
    (job,) = place.amplitude.cohorts.jobs.values()
    job.polls_left = 0
    assert place.states(place.load()) == {"cart0001": "loaded"}
    assert place.spent() == 1
