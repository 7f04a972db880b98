"""`relay load` as a person meets it: a bar on a terminal, one line, a document, quiet logs."""

import io
import json
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from load.made import NOW, PROJECT, event, line, lines, packed, settings_at
from relay import logs
from relay.cli.main import relay
from relay.cli.progress import progress
from relay.emulate import Emulators
from relay.load.progress import NoProgress

PERSONAL = ("user-", "device-", "203.0.113.", "insert-", "ann@example.com", "u-anna")
CONFIG = """\
amplitude: {backfill_days: 1}
cohort_syncs:
  - {name: everything, cohort_id: all, destination: lytics}
"""


class Terminal(io.StringIO):
    """Standard error as it is when somebody looks at it."""

    def isatty(self) -> bool:
        return True


def run(home: Path, emulators: Emulators, *arguments: str, log: str | None = None) -> Result:
    environ = {"RELAY_HOME": str(home), "RELAY_NOW": f"{NOW:%Y-%m-%dT%H:%M:%SZ}"}
    environ |= emulators.environ | ({} if log is None else {"RELAY_LOG": log})
    settings_at(home, emulators.environ, CONFIG)
    return CliRunner().invoke(relay, ["load", *arguments], env=environ)


def fill(emulators: Emulators) -> None:
    amplitude = emulators.amplitude
    rows = [event(n, at=NOW - timedelta(hours=5)) for n in range(9)]
    amplitude.add_events(PROJECT, rows)
    amplitude.add_export_member(
        PROJECT, NOW - timedelta(hours=20), packed(b'{"user_id":"u-anna"\n')
    )
    members = [(1, "ann@example.com"), (2, None)]
    computed = NOW - timedelta(hours=5)
    amplitude.set_cohort("good0001", "Cart", None, computed, members=members)
    bad = b'"amplitude_id","user_id"\n"1","ann@example.com","x"\n'
    amplitude.set_cohort("bad00001", "Basket", None, computed, file=bad, size=1)


@pytest.mark.parametrize("unit", ["hours", "files", "cohorts"])
def test_a_terminal_shows_how_far_it_is(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "200")
    with progress(unit) as shown:
        shown.expect(30)
        shown.advance(12)
        shown.received(3_400_000)
        shown.stored(56_789)
        shown.received(1_000_000)
        shown._bars.refresh()  # type: ignore[attr-defined]
    for part in (unit, "12/30", "4.4 MB, 56,789 rows"):
        assert part in screen.getvalue()


def test_nothing_is_shown_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress("hours") as shown:
        assert isinstance(shown, NoProgress)


def test_a_load_ends_with_one_line_and_what_a_person_should_know(
    tmp_path: Path, emulators: Emulators
) -> None:
    fill(emulators)
    done = run(tmp_path, emulators, "events")
    assert (done.exit_code, done.stderr) == (4, "")
    assert done.stdout == (
        "amplitude_events: 10 rows of 2 files: 9 loaded, 0 duplicates, 1 rejected,"
        " 1 hours loaded, 21 hours empty, 3 hours pending\n"
    )
    cohorts = run(tmp_path, emulators, "cohorts")
    *said, last = cohorts.stdout.splitlines()
    assert cohorts.exit_code == 1
    assert [text.partition(": ")[0] for text in said] == ["cohort bad00001"]
    assert "line 2: a row has not as many columns" in said[0]
    assert last == (
        "amplitude_cohorts: 2 rows of 1 files: 2 loaded, 0 duplicates, 0 rejected, 1 refused"
    )


@pytest.mark.parametrize("log", [None, "debug"])
@pytest.mark.parametrize("command", ["events", "cohorts", "files"])
def test_with_json_there_is_one_document_and_no_log_line_holds_anything_personal(
    tmp_path: Path, emulators: Emulators, command: str, log: str | None
) -> None:
    fill(emulators)
    arguments = [command]
    if command == "files":
        path = tmp_path / "exports" / "a.json"
        path.parent.mkdir()
        path.write_bytes(lines([event(1), event(1, user_id="u-anna")]) + b"u-anna\n")
        (path.parent / "b.json.gz").write_bytes(packed(line(event(2)))[:-4])
        arguments = ["events", "--path", str(path.parent)]
    try:
        done = run(tmp_path / "home", emulators, *arguments, "--json", log=log)
    finally:
        logs.configure()
    assert done.exit_code in {1, 4}
    document = json.loads(done.stdout)
    assert document["loaded"] > 0
    said = [json.loads(text) for text in done.stderr.splitlines()]
    assert all({"at", "event", "level"} <= entry.keys() for entry in said)
    if log is not None:
        assert {"span.loaded", "cohort.loaded", "file.refused"} & {entry["event"] for entry in said}
    assert not [word for word in PERSONAL if word in done.stderr + done.stdout]
