"""The parts of the shared core: bodies that are cut, gates, device rates, limits, progress."""

import io
import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from relay.apply.amplitude import DeviceRate
from relay.apply.bodies import cut_body
from relay.apply.gate import Gate
from relay.apply.ledger_lines import LedgerLine, Rejection
from relay.apply.limits import Limits, read_limits
from relay.apply.progress import SendingProgress
from relay.apply.state import state_after
from relay.errors import ConfigurationError, PlanError
from relay.settings import find_project_root

# --- bodies -------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
PATHS: list[tuple[str, ...]] = [(), ("d",), ("parameters", "members"), ("events",)]


def wrapped(records: Sequence[Any], path: Sequence[str], around: Any) -> Any:
    """A body whose records stand at `path`, with other keys before and after."""
    for key in reversed(path):
        records = {"before": around, key: records, "after": around}  # type: ignore[assignment]
    return records


@given(
    st.lists(JSON, max_size=6),
    st.sampled_from(PATHS),
    JSON,
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\n ", " :\t")]),
    st.data(),
)
def test_a_cut_body_has_the_chosen_records_byte_for_byte(
    records: list[Any],
    path: tuple[str, ...],
    around: Any,
    separators: tuple[str, str],
    data: st.DataObject,
) -> None:
    text = json.dumps(wrapped(records, path, around), separators=separators, ensure_ascii=False)
    body = text.encode("utf-8", "surrogatepass")
    try:
        body.decode()
    except UnicodeDecodeError:
        return  # no vendor's JSON has lone surrogates
    cut = cut_body(body, path)
    assert [json.loads(record) for record in cut.records] == records
    assert all(record in text for record in cut.records)
    positions = (
        data.draw(st.lists(st.sampled_from(range(len(records))), unique=True)) if records else []
    )
    chosen = [records[position] for position in positions]
    assert json.loads(cut.of(positions)) == wrapped(chosen, path, around)


def test_numbers_and_escapes_stay_as_they_were_sealed() -> None:
    body = b'{"d":[{"a":9007199254740993,"b":1.10},{"c":"\\u00e9\\/"} , {"e":1E5}],"z":0}'
    cut = cut_body(body, ["d"])
    assert cut.of([1]) == b'{"d":[{"c":"\\u00e9\\/"}],"z":0}'
    assert cut.of([0, 2]) == b'{"d":[{"a":9007199254740993,"b":1.10},{"e":1E5}],"z":0}'


@pytest.mark.parametrize("body", [b"{}", b'{"d":3}', b"[1]", b'{"d":[1', b"", b'{"d" 1}', b"\xff"])
def test_a_body_without_its_list_is_an_error(body: bytes) -> None:
    with pytest.raises(PlanError, match=r"no list at d .*relay plan"):
        cut_body(body, ["d"])


# --- the last line of a request -----------------------------------------------------------------


def line(kind: str, outcome: str | None = None, **more: Any) -> LedgerLine:
    at = "2026-03-02T12:00:00Z"
    rejected = tuple(Rejection(position, "1", "") for position in more.pop("rejected", ()))
    from datetime import datetime

    return LedgerLine(
        seq=1,
        at=datetime.fromisoformat(at),
        kind=kind,
        plan_id="p",
        sync="s",
        request=1,
        outcome=outcome,
        rejected=rejected,
        unknown=tuple(more.pop("unknown", ())),
        detail=more.pop("detail", {}),
    )


@pytest.mark.parametrize(
    ("last", "delivered", "rejected", "unknown", "pending"),
    [
        (None, 0, 0, [], [0, 1, 2, 3]),
        (line("sending"), 0, 0, [0, 1, 2, 3], []),
        (line("sending", unknown=[1], rejected=[2]), 2, 1, [1], []),
        (line("sending", unknown=[1, 3], detail={"pending": [3]}), 2, 0, [1], [3]),
        (line("answered", "delivered"), 4, 0, [], []),
        (line("answered", "delivered", rejected=[0, 3]), 2, 2, [], []),
        (line("answered", "delivered", rejected=[0], unknown=[1, 2]), 1, 1, [1, 2], []),
        (line("answered", "delivered", unknown=[1, 2], detail={"pending": [2]}), 2, 0, [1], [2]),
        (line("answered", "rejected", rejected=[None]), 0, 4, [], []),
        (line("answered", "unknown"), 0, 0, [0, 1, 2, 3], []),
        (line("answered", "unknown", rejected=[1], unknown=[0, 2, 3]), 0, 1, [0, 2, 3], []),
        (line("answered", "not_processed"), 0, 0, [], [0, 1, 2, 3]),
        (line("answered", "not_processed", rejected=[1]), 0, 1, [], [0, 2, 3]),
        (line("confirmed"), 4, 0, [], []),
        (line("confirmed", rejected=[1]), 3, 1, [], []),
        (line("adopted"), 4, 0, [], []),
        (line("resolved", detail={"decision": "delivered"}), 4, 0, [], []),
        (line("resolved", detail={"decision": "resend"}), 0, 0, [], [0, 1, 2, 3]),
        (line("resolved", unknown=[2], rejected=[0], detail={"decision": "resend"}), 2, 1, [], [2]),
    ],
)
def test_the_last_line_of_a_request_tells_where_its_rows_stand(
    last: LedgerLine | None, delivered: int, rejected: int, unknown: list[int], pending: list[int]
) -> None:
    state = state_after(last, 4)
    assert (state.delivered_count, state.rejected_count) == (delivered, rejected)
    assert (list(state.unknown), list(state.pending)) == (unknown, pending)


# --- gates and rates ----------------------------------------------------------------------------


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_no_more_than_allowed_are_in_flight() -> None:
    gate = Gate(Limits(concurrency=3))
    stop = threading.Event()
    lock = threading.Lock()
    busy = most = 0

    def work() -> None:
        nonlocal busy, most
        for _ in range(20):
            with gate.passing(stop) as began:
                assert began is not None
                with lock:
                    busy += 1
                    most = max(most, busy)
                time.sleep(0.0005)
                with lock:
                    busy -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 3


def passes(gate: Gate) -> bool:
    """Whether a request could go at once."""
    return gate._wait() <= 0


def test_requests_a_minute_are_counted_over_any_minute() -> None:
    clock = Clock()
    gate = Gate(Limits(concurrency=9, requests_per_minute=3), clock=clock)
    stop = threading.Event()
    for _ in range(3):
        with gate.passing(stop) as began:
            assert began == clock.now
        clock.now += 10
    assert not passes(gate)
    clock.now = 1060.4
    assert not passes(gate)
    clock.now = 1060.5
    assert passes(gate)


def test_too_fast_halves_what_is_in_flight_and_success_brings_it_back() -> None:
    clock = Clock()
    gate = Gate(Limits(concurrency=8), clock=clock)
    began = clock.now
    gate.slow_down(began, 0.0)
    clock.now += 1
    for _ in range(7):  # what was in flight with it tells nothing new
        gate.slow_down(began, 0.0)
    assert gate._allowed == 4
    gate.slow_down(clock.now, 0.0)
    assert gate._allowed == 2
    for _ in range(40):
        gate.succeed()
    assert gate._allowed == 4
    for _ in range(400):
        gate.succeed()
    assert gate._allowed == 8


def test_a_hold_keeps_everybody_back_until_it_is_over() -> None:
    clock = Clock()
    gate = Gate(Limits(concurrency=8), clock=clock)
    gate.slow_down(clock.now, 12.5)
    assert not passes(gate)
    clock.now += 12.4
    assert not passes(gate)
    clock.now += 0.2
    assert passes(gate)


def test_a_stop_ends_the_wait_for_a_turn() -> None:
    gate = Gate(Limits(concurrency=1))
    stop = threading.Event()
    with gate.passing(stop):
        threading.Timer(0.05, stop.set).start()
        with gate.passing(stop) as began:
            assert began is None


def event(user: str = "", device: str = "") -> dict[str, str]:
    return {"user_id": user, "device_id": device}


def test_a_device_gets_what_fits_into_its_window_and_keeps_its_order() -> None:
    clock = Clock()
    rate = DeviceRate(3, clock)
    events = [event(device="d1")] * 4 + [event("ann", "d1"), event("ann", "d2"), event("bob")]
    granted, wait = rate.grant(events, range(7))
    # The fifth waits for d1, and the sixth, of the same user, behind it.
    assert granted == [0, 1, 2, 6]
    assert wait == 30.0
    clock.now += 29
    assert rate.grant(events[3:6], [3, 4, 5]) == ([], 1.0)
    clock.now += 1
    assert rate.grant(events[3:6], [3, 4, 5]) == ([3, 4, 5], 0.0)


def test_a_device_rate_forgets_ids_that_sent_nothing_for_a_window() -> None:
    clock = Clock()
    rate = DeviceRate(3, clock)
    for number in range(1000):
        rate.grant([event(f"user-{number}")], [0])
        clock.now += 1
    assert len(rate._totals) <= 31


def test_the_limits_are_those_of_the_seed() -> None:
    limits = read_limits(find_project_root())
    assert limits["clevertap", "events"].concurrency == 15
    assert limits["moengage", "members"].requests_per_minute == 300
    assert limits["amplitude", "events"].attempts == 12


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "expected a CSV"),
        ("destination,delivery\na,b\n", "expected a CSV"),
        (
            "destination,delivery,concurrency,requests_per_minute\na,b,0,\n",
            "line 2: '0': expected a whole number",
        ),
        (
            "destination,delivery,concurrency,requests_per_minute\na,b,1,many\n",
            "line 2: 'many': expected a whole number",
        ),
    ],
)
def test_a_seed_that_cannot_be_read_is_an_error(tmp_path: Path, text: str, problem: str) -> None:
    seed = tmp_path / "seeds" / "vendors" / "request_limits.csv"
    seed.parent.mkdir(parents=True)
    if text:
        seed.write_text(text)
    with pytest.raises(ConfigurationError, match=problem):
        read_limits(tmp_path)


# --- progress -----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_shown_on_a_terminal_only(is_terminal: bool) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=is_terminal, width=100)
    with SendingProgress({"clevertap": 4000}, console) as progress:
        progress.advance("clevertap", 1000)
        progress.advance("elsewhere", 5)
    text = screen.getvalue()
    assert ("clevertap" in text and "1000/4000" in text) == is_terminal
    assert bool(text) == is_terminal
