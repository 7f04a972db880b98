import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from relay.apply.ledger import Ledger, LedgerLine, Rejection, read_lines
from relay.errors import LedgerError
from relay.settings import Home

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def opened(home: Home) -> Ledger:
    return Ledger.open(home)


def send(ledger: Ledger, plan_id: str, request: int, outcome: str | None = None) -> None:
    ledger.append("sending", at=NOW, plan_id=plan_id, sync="s", request=request, attempt=1)
    if outcome is not None:
        ledger.append(
            "answered",
            at=NOW,
            plan_id=plan_id,
            sync="s",
            request=request,
            attempt=1,
            http_status=200,
            outcome=outcome,
            rejected=[Rejection(2, "513", "x" * 300)],
            unknown=[4],
        )


def seqs(lines: Iterator[LedgerLine]) -> list[int]:
    return [line.seq for line in lines]


def test_a_line_is_read_back_as_it_was_written(home: Home) -> None:
    with opened(home) as ledger:
        send(ledger, "p1", 1, "delivered")
        ledger.append("paused", at=NOW, plan_id=None, sync="s", detail={"reason": "undo \ud800"})
    with opened(home) as ledger:
        sending, answered, paused = ledger.lines()
        assert (sending.kind, sending.request, sending.at) == ("sending", 1, NOW)
        assert answered.rejected == (Rejection(2, "513", "x" * 200),)
        assert answered.unknown == (4,)
        assert (paused.plan_id, paused.detail) == (None, {"reason": "undo \ud800"})
        assert ledger.last_seq == 3


def test_numbers_go_on_over_files_and_openings(home: Home) -> None:
    for plan_id in ("p2", "p1", "p2"):
        with opened(home) as ledger:
            send(ledger, plan_id, 1)
            ledger.append("paused", at=NOW, plan_id=None, sync="s")
    with opened(home) as ledger:
        assert seqs(ledger.lines()) == [1, 2, 3, 4, 5, 6]
        assert seqs(ledger.lines("p2")) == [1, 5]
        assert seqs(ledger.lines("p9")) == []
        assert seqs(ledger.lines_after(3)) == [4, 5, 6]
    assert seqs(read_lines(home.ledger)) == [1, 2, 3, 4, 5, 6]
    assert seqs(read_lines(home.ledger, "p1")) == [3]


@pytest.mark.parametrize("hint", ["kept", "lost", "nonsense", "of an empty ledger"])
def test_the_hint_changes_nothing_but_the_cost(home: Home, hint: str) -> None:
    with opened(home) as ledger:
        send(ledger, "p1", 1, "delivered")
    with opened(home) as ledger:
        send(ledger, "p1", 2)  # killed before close: the hint ends at request 1
        del ledger
    head = home.ledger / "head.json"
    if hint == "lost":
        head.unlink()
    elif hint != "kept":
        head.write_text("{" if hint == "nonsense" else '{"version":1,"last_seq":0,"files":{}}')
    with opened(home) as ledger:
        assert ledger.last_seq == 3
        send(ledger, "p1", 3)
        assert seqs(ledger.lines()) == [1, 2, 3, 4]


def test_the_empty_file_of_a_plan_just_sealed_is_no_damage(home: Home) -> None:
    home.ledger.mkdir()
    (home.ledger / "p1.ndjson").touch()
    with opened(home) as ledger:
        assert ledger.last_seq == 0
        send(ledger, "p0", 1)
    with opened(home) as ledger:
        send(ledger, "p1", 1)
        send(ledger, "p0", 2)
        assert seqs(ledger.lines()) == [1, 2, 3]
    with opened(home) as ledger:
        assert seqs(ledger.lines_after(1)) == [2, 3]


def test_opening_reads_only_what_is_new(home: Home) -> None:
    with opened(home) as ledger:
        send(ledger, "p1", 1, "delivered")
    path = home.ledger / "p1.ndjson"
    data = path.read_bytes()
    path.write_bytes(b"#" * (len(data) - 1) + b"\n")  # the known part would not be readable
    with opened(home) as ledger:
        assert ledger.last_seq == 2
    (home.ledger / "head.json").unlink()
    with pytest.raises(LedgerError, match=r"p1\.ndjson, line 1"):
        opened(home)


@pytest.mark.parametrize("keep_head", [True, False])
def test_a_cut_last_line_is_set_aside_and_nothing_else(home: Home, keep_head: bool) -> None:
    with opened(home) as ledger:
        send(ledger, "p1", 1, "delivered")
    path = home.ledger / "p1.ndjson"
    whole = path.read_bytes()
    if not keep_head:
        (home.ledger / "head.json").unlink()
    path.write_bytes(whole + b'{"seq":3,"at":"2026-03-')
    assert seqs(read_lines(home.ledger)) == [1, 2]
    with opened(home) as ledger:
        send(ledger, "p1", 2)
        assert seqs(ledger.lines()) == [1, 2, 3]
    assert path.read_bytes().startswith(whole)
    assert (home.ledger / "p1.ndjson.cut-3").read_bytes() == b'{"seq":3,"at":"2026-03-'


def test_every_cut_of_the_last_line_opens(home: Home) -> None:
    with opened(home) as ledger:
        send(ledger, "p1", 1)
    path = home.ledger / "p1.ndjson"
    first = path.read_bytes()
    with opened(home) as ledger:
        send(ledger, "p1", 2)
    whole = path.read_bytes()
    for end in range(len(first), len(whole)):
        for name in home.ledger.iterdir():
            name.unlink()
        path.write_bytes(whole[:end])
        with opened(home) as ledger:
            assert ledger.last_seq == 1
        kept = [name for name in home.ledger.iterdir() if ".cut-" in name.name]
        assert b"".join(name.read_bytes() for name in kept) == whole[len(first) : end]


def test_a_line_that_was_on_disk_is_not_forgotten(home: Home) -> None:
    with opened(home) as ledger:
        send(ledger, "p1", 1, "delivered")
        send(ledger, "p1", 2)
    path = home.ledger / "p1.ndjson"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(LedgerError, match=r"had 3 lines and now has 2.*backup"):
        opened(home)


def test_a_cut_answer_leaves_its_request_unknown(home: Home) -> None:
    with opened(home) as ledger:
        send(ledger, "p1", 1, "delivered")
    path = home.ledger / "p1.ndjson"
    path.write_bytes(path.read_bytes()[:-10])
    with opened(home) as ledger:
        assert [line.kind for line in ledger.lines()] == ["sending"]
        send(ledger, "p1", 1)
        assert seqs(ledger.lines()) == [1, 3]  # a number given once is not given again


LINE = (
    '{"seq":%s,"at":"2026-03-02T12:00:00Z","kind":"sending","plan_id":"p1","sync":"s","request":1,'
    '"attempt":1,"http_status":null,"outcome":null,"rejected":[],"unknown":[],"detail":{}}\n'
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("no json\n", "line 2"),
        ("\n", "is empty.*delete it"),
        ("[]\n", "JSON object"),
        ('{"seq":2}\n', "lacks at"),
        (LINE % "true", "seq is True"),
        (LINE % "1", "number 1 follows 1"),
        (LINE.replace("sending", "sent") % 2, "kind 'sent'"),
        (LINE.replace("12:00:00Z", "12:00:00") % 2, "time zone"),
        (LINE.replace('"outcome":null', '"outcome":"delivered"') % 2, "outcome"),
        (LINE.replace('"unknown":[]', '"unknown":["a"]') % 2, "unknown"),
        (LINE.replace('"rejected":[]', '"rejected":[3]') % 2, "rejected"),
        (LINE.replace('"request":1', '"request":null') % 2, "needs plan_id, sync and request"),
    ],
)
def test_any_other_damage_is_an_error_that_names_the_line(
    home: Home, text: str, problem: str
) -> None:
    home.ledger.mkdir()
    (home.ledger / "p1.ndjson").write_text(LINE % 1 + text + LINE % 9)
    with pytest.raises(LedgerError, match=problem) as raised:
        opened(home)
    assert "ledger/p1.ndjson, line 2" in str(raised.value)


def test_a_number_in_two_files_is_an_error(home: Home) -> None:
    home.ledger.mkdir()
    for name in ("p1", "p2"):
        (home.ledger / f"{name}.ndjson").write_text(LINE % 1)
    with pytest.raises(LedgerError, match=r"p1.ndjson and ledger/p2.ndjson both have a line 1"):
        opened(home)


def test_numbers_go_on_when_a_plans_file_was_removed(home: Home) -> None:
    with opened(home) as ledger:
        send(ledger, "p1", 1, "delivered")
    (home.ledger / "p1.ndjson").unlink()
    with opened(home) as ledger:
        send(ledger, "p1", 1)
        assert seqs(ledger.lines()) == [3]


def test_threads_that_append_get_a_number_each(home: Home) -> None:
    def work(number: int) -> None:
        for request in range(1, 51):
            ledger.append("sending", at=NOW, plan_id=f"p{number}", sync="s", request=request)

    with opened(home) as ledger:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with opened(home) as ledger:
        assert seqs(ledger.lines()) == list(range(1, 201))


def test_a_full_disk_stops_the_ledger_and_says_so(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with opened(home) as ledger:
        send(ledger, "p1", 1)
        monkeypatch.setattr("relay.apply.ledger.os.fsync", full)
        with pytest.raises(LedgerError, match="No space left"):
            send(ledger, "p1", 2)
        with pytest.raises(LedgerError, match="No space left"):
            send(ledger, "p1", 3)


@pytest.mark.parametrize(
    "arguments",
    [
        {"kind": "sent"},
        {"plan_id": "../p1"},
        {"plan_id": "syncs"},
        {"kind": "answered"},
        {"outcome": "delivered"},
        {"at": datetime(2026, 3, 2, 12)},  # noqa: DTZ001
    ],
)
def test_what_is_no_line_is_not_written(home: Home, arguments: dict[str, object]) -> None:
    with opened(home) as ledger:
        call: dict[str, object] = {"kind": "sending", "at": NOW, "plan_id": "p1", "sync": "s"}
        call |= {"request": 1} | arguments
        with pytest.raises(ValueError, match=r"."):
            ledger.append(call.pop("kind"), **call)  # type: ignore[arg-type]
        assert ledger.last_seq == 0


@pytest.mark.parametrize("point", ["ledger.cut.before", "ledger.cut.kept", "ledger.head.before"])
def test_killed_while_mending_nothing_is_lost(home: Home, point: str) -> None:
    with opened(home) as ledger:
        send(ledger, "p1", 1)
    path = home.ledger / "p1.ndjson"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"seq"')
    (home.ledger / "head.json").unlink()
    program = (
        "import sys, pathlib; from relay.apply.ledger import Ledger;"
        "from relay.settings import Home;"
        "Ledger.open(Home(pathlib.Path(sys.argv[1]).parent))"
    )
    environment = os.environ | {
        "RELAY_FAULT_AT": f"{point}:1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    ended = subprocess.run([sys.executable, "-c", program, str(home.ledger)], env=environment)
    assert ended.returncode == -signal.SIGKILL
    with opened(home) as ledger:
        assert ledger.last_seq == 1
    assert path.read_bytes() == whole
    assert (home.ledger / "p1.ndjson.cut-2").read_bytes() == b'{"seq"'


def test_the_file_is_plain_json_with_the_documented_keys(home: Home) -> None:
    with opened(home) as ledger:
        send(ledger, "p1", 1)
    document = json.loads((home.ledger / "p1.ndjson").read_text())
    assert list(document) == [
        "seq", "at", "kind", "plan_id", "sync", "request", "attempt", "http_status", "outcome",
        "rejected", "unknown", "detail",
    ]  # fmt: skip
    assert document["at"] == "2026-03-02T12:00:00.000000Z"
