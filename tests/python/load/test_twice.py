"""Every load command, run again a little later, changes nothing: compared table by table."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from load.made import (
    NOW,
    PROJECT,
    archive,
    event,
    line,
    lines,
    member_name,
    open_warehouse,
    packed,
    settings_at,
    tables,
)
from relay.cli.main import relay
from relay.emulate import Emulators
from relay.load import landing
from relay.load.engagement import STREAMS_FOLDER

CONFIG = """\
amplitude: {backfill_days: 1}
cohort_syncs:
  - {name: everything, cohort_id: all, destination: lytics}
"""
MERGE = {"scope": 1, "merge_time": 2, "merge_server_time": 3, "amplitude_id": 9}
VIEWED = {"profile": {"identity": "ann"}, "ts": 20260301120000, "eventProps": {"n": 1}}


@dataclass(frozen=True)
class Again:
    """What a command is to be run on.

    Attributes:
        folder: For files of the user's.
        home: RELAY_HOME.
        emulators: The vendors.
    """

    folder: Path
    home: Path
    emulators: Emulators

    def put(self, name: str, content: bytes) -> str:
        """A file of the user's; its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return str(path)


Command = Callable[[Again], list[str]]


def events_by_the_api(again: Again) -> list[str]:
    amplitude = again.emulators.amplitude
    amplitude.add_events(PROJECT, [event(n, at=NOW - timedelta(hours=5)) for n in range(3)])
    amplitude.add_export_member(PROJECT, NOW - timedelta(hours=20), packed(b"bad\n"))
    return ["events"]


def hours_that_are_named(again: Again) -> list[str]:
    events_by_the_api(again)
    return ["events", "--from", "2026-03-01T12", "--to", "2026-03-02T09", "--project", "shop"]


def event_files(again: Again) -> list[str]:
    again.put("a.zip", archive([(member_name(), packed(lines([event(1), event(2)])))]))
    again.put("b.json.gz", packed(line(event(3)) + b"bad\n"))
    again.put("deep/c.json", lines([event(3), event(4, new_key=1)]))
    return ["events", "--path", str(again.folder)]


def cohorts_by_the_api(again: Again) -> list[str]:
    amplitude = again.emulators.amplitude
    amplitude.set_cohort(
        "cart0001", "Cart", None, NOW - timedelta(hours=5), members=[(1, "u1"), (2, None)]
    )
    amplitude.set_cohort("never001", "Never", None, None, members=[])
    return ["cohorts"]


def a_cohort_file(again: Again) -> list[str]:
    path = again.put("c.csv", b'"amplitude_id","user_id"\n"1","u1"\n"2",""\n')
    about = {"--cohort-id": "cart0001", "--cohort-name": "Cart", "--size": "2"}
    about |= {"--computed-at": "2026-03-01T00:00:00Z", "--path": path}
    return ["cohorts", *(word for pair in about.items() for word in pair)]


def merges(again: Again) -> list[str]:
    rows = [MERGE | {"merged_amplitude_id": 8}, MERGE | {"merged_amplitude_id": 7}]
    again.put("-1_2026-03-01_0.json.gz", packed(lines(rows) + b"bad\n"))
    again.put("-1_2026-03-01_1.json.gz", packed(lines(rows[:1])))
    return ["merges", "--path", str(again.folder)]


def users_of_moengage(again: Again) -> list[str]:
    path = again.put("m.csv", b"uid,moe_anonymous_id\nu1,a1\nu2,\n,\nu2,\n")
    return ["known-users", "--destination", "moengage", "--path", path]


def users_of_clevertap(again: Again) -> list[str]:
    path = again.put("c.csv", b"identity,objectId\ni1,o1\n")
    return ["known-users", "--destination", "clevertap", "--path", path]


def clevertap_files(again: Again) -> list[str]:
    rows = [json.dumps(row).encode() for row in (VIEWED, VIEWED, VIEWED | {"ts": "bad"})]
    again.put("one.json", b"\n".join([b"Notification Viewed", *rows, b"bad"]) + b"\n")
    again.put("two.json.gz", packed(b"Notification Viewed\n" + rows[0] + b"\n"))
    return ["clevertap-events", "--path", str(again.folder)]


def clevertap_by_the_api(again: Again) -> list[str]:
    at = datetime(2026, 3, 1, 12, tzinfo=NOW.tzinfo)
    rows = [{"identity": f"u{n}", "ts": at, "event_props": {"n": n}} for n in range(3)]
    again.emulators.clevertap.events_api.add("Charged", rows)
    days = ["--from", "2026-03-01", "--to", "2026-03-01"]
    return ["clevertap-events", "--event", "Charged", *days]


def _moengage_event(number: int) -> dict[str, Any]:
    return {"event_uuid": f"e{number}", "event_name": "Push Sent", "event_code": "x", "uid": "u"}


def moengage_files(again: Again) -> list[str]:
    body = {"app_name": "Shop", "events": [_moengage_event(1), _moengage_event(2)]}
    again.put("one.json", json.dumps(body).encode())
    rows = [json.dumps({"event": _moengage_event(n)}).encode() for n in (2, 3)]
    again.put("two.json.gz", packed(b"\n".join([*rows, b"bad"])))
    return ["moengage-events", "--path", str(again.folder)]


def moengage_streams(again: Again) -> list[str]:
    body = json.dumps({"app_name": "Shop", "events": [_moengage_event(1)]}).encode()
    home = settings_at(again.home, config=CONFIG).home
    landing.land(home, f"{STREAMS_FOLDER}/2026-03-02/body.json", [body])
    return ["moengage-events"]


def everything_in(home: Path, environ: dict[str, str]) -> tuple[dict[str, list[Any]], list[str]]:
    """Every raw table, and every file below landing/ with its time."""
    connection = open_warehouse(settings_at(home, environ, CONFIG))
    found = tables(connection)
    connection.close()
    files = [path for path in (home / "landing").rglob("*") if path.is_file()]
    return found, sorted(f"{path} {path.stat().st_mtime_ns}" for path in files)


@pytest.mark.parametrize(
    "command",
    [
        events_by_the_api,
        hours_that_are_named,
        event_files,
        cohorts_by_the_api,
        a_cohort_file,
        merges,
        users_of_moengage,
        users_of_clevertap,
        clevertap_files,
        clevertap_by_the_api,
        moengage_files,
        moengage_streams,
    ],
)
def test_a_load_command_run_again_changes_nothing(
    tmp_path: Path, emulators: Emulators, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    home = tmp_path / "home"
    environ = {"CLEVERTAP_TIMEZONE": "UTC", **emulators.environ}
    settings_at(home, environ, CONFIG)
    (tmp_path / "exports").mkdir()
    arguments = command(Again(tmp_path / "exports", home, emulators))
    monkeypatch.setenv("RELAY_HOME", str(home))
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    def run(moment: datetime) -> dict[str, Any]:
        monkeypatch.setenv("RELAY_NOW", f"{moment:%Y-%m-%dT%H:%M:%SZ}")
        done = CliRunner().invoke(relay, ["load", *arguments, "--json"])
        assert done.exit_code in {0, 4}, done.output
        document: dict[str, Any] = json.loads(done.stdout)
        counts = {"loaded", "duplicates", "rejected"}
        assert {"source", "files", "windows", "rows"} | counts <= document.keys()
        assert document["rows"] == sum(document[count] for count in counts)
        return document

    first = run(NOW)
    assert first["loaded"] > 0
    before = everything_in(home, environ)
    second = run(NOW + timedelta(minutes=10))
    assert second["loaded"] == 0
    (now, landed), (then, landed_then) = everything_in(home, environ), before
    assert [name for name, rows in now.items() if rows != then[name]] == []
    assert landed == landed_then
