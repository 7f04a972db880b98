"""The life of exports: what the page allows, files that keep their comments, status by ledger."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from relay.apply.ledger import read_lines
from relay.cli import exports as commands
from relay.config import EventExport
from relay.config_file import read_config
from relay.errors import ConfigurationError
from relay.exports.changes import NewExport, create, edit, stop
from relay.exports.periods import days_of
from relay.exports.states import (
    ExportState,
    Filter,
    Runs,
    page_of,
    states_of,
    status_of,
)
from relay.exports.yaml_edit import Value, append_entry, set_keys
from relay.plan.schedule import is_due
from relay.settings import Settings, load_settings

NOW = "2026-03-02T15:30:00Z"
FILE = """\
# What we send, and why.
version: 1

event_exports:            # engagement back into Amplitude
    # the first one
    - name: ct            # do not rename
      source: clevertap
      events: ["Reply Sent",  UTM Visited]   # only these
      frequency: every_24_hours
      start_date: 2026-01-01

    - {name: moe, source: moengage, frequency: streaming}  # as it comes
# per destination
clevertap: {on_unknown: hold}   # the end
"""


def settings_of(home: Path, text: str | None = FILE, now: str = NOW) -> Settings:
    home.mkdir(exist_ok=True)
    if text is not None:
        (home / "syncs.yml").write_text(text, encoding="utf-8")
    environ = {"CLEVERTAP_TIMEZONE": "Asia/Kolkata", "RELAY_NOW": now}
    return load_settings(home, environ=environ)


def state(given: Settings, name: str, **runs: Any) -> ExportState:
    (found,) = [one for one in states_of(given, {name: Runs(**runs)}) if one.export.name == name]
    return found


def changed_lines(before: str, after: str) -> list[str]:
    kept = before.splitlines()
    return [line for line in after.splitlines() if line not in kept]


def text_of(home: Path) -> str:
    return (home / "syncs.yml").read_text(encoding="utf-8")


def test_create_adds_lines_and_touches_none(tmp_path: Path) -> None:
    given_settings = settings_of(tmp_path)
    new = NewExport(
        "new-one",
        "clevertap",
        "every_6_hours",
        nickname="Partner: Amplitude",
        events=("Reply Sent", "yes"),
        residency="standard",
    )
    export = create(given_settings, new)
    assert changed_lines(FILE, text_of(tmp_path)) == [
        "    - name: new-one",
        '      nickname: "Partner: Amplitude"',
        '      events: [Reply Sent, "yes"]',
        "      frequency: every_6_hours",
        "      start_date: 2026-03-02",
        "      residency: standard",
        '      created_at: "2026-03-02T15:30:00Z"',
    ]
    assert [one.name for one in read_config(tmp_path / "syncs.yml").event_exports] == [
        "ct",
        "moe",
        "new-one",
    ]
    assert export.events == ("Reply Sent", "yes")
    # In Kolkata it is the second of March until 18:30 UTC.
    later = settings_of(tmp_path, now="2026-03-02T18:30:00Z")
    assert create(later, NewExport("x", "clevertap", "every_4_hours")).start_date == date(
        2026, 3, 3
    )


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "version: 1",
        "version: 1\nevent_exports:\n",
        "version: 1\nevent_exports: []  # none yet\nguard: {min_members: 5}\n",
        "version: 1\nevent_exports: [{name: a, source: moengage}]\n",
        "event_exports:\n- name: a\n  source: moengage\n# last words",
        "event_exports:\n  -   name: a\n      source: moengage\nversion: 1\n",
    ],
)
def test_create_finds_its_place_in_any_layout(tmp_path: Path, text: str | None) -> None:
    before = settings_of(tmp_path, text).config
    create(settings_of(tmp_path, text), NewExport("b", "moengage", "streaming"))
    after = settings_of(tmp_path, None).config
    assert [one.name for one in after.event_exports] == [
        *(one.name for one in before.event_exports),
        "b",
    ]
    assert after.guard == before.guard
    for line in (text or "").splitlines():
        comment = line.partition("#")[2]
        assert comment in text_of(tmp_path)


@pytest.mark.parametrize(
    ("new", "problem"),
    [
        (NewExport("ct", "clevertap", "every_4_hours"), "has this name"),
        (NewExport("Bad Name", "clevertap", "every_4_hours"), "can be a file name"),
        (NewExport("x", "clevertap", "every_3_hours"), "every_4_hours"),
        (NewExport("x", "clevertap", "every_25_hours"), "every_4_hours"),
        (NewExport("x", "clevertap", "streaming"), "moengage"),
        (NewExport("x", "clevertap", "one_time"), "needs from and to"),
        (
            NewExport("x", "clevertap", "one_time", first=date(2026, 1, 1), last=date(2026, 1, 31)),
            r"is \(2025-12-31|expected days of the last 60",
        ),
        (
            NewExport("x", "clevertap", "one_time", first=date(2026, 3, 1), last=date(2026, 3, 3)),
            "expected days of the last 60",
        ),
        (
            NewExport("x", "clevertap", "every_4_hours", user_id_from="name"),
            "identity",
        ),
    ],
)
def test_what_cannot_be_is_refused_and_the_file_is_as_it_was(
    tmp_path: Path, new: NewExport, problem: str
) -> None:
    early = new.first == date(2026, 1, 1)
    given_settings = settings_of(tmp_path, now="2026-03-04T12:00:00Z" if early else NOW)
    with pytest.raises(ConfigurationError, match=problem) as caught:
        create(given_settings, new)
    assert ".check" not in str(caught.value)
    assert text_of(tmp_path) == FILE
    assert [path.name for path in tmp_path.iterdir()] == ["syncs.yml"]


def test_an_edit_changes_its_characters_only(tmp_path: Path) -> None:
    given_settings = settings_of(tmp_path)
    export, changes = edit(given_settings, state(given_settings, "ct"), events=("engagement",))
    assert changed_lines(FILE, text_of(tmp_path)) == ["      events: engagement   # only these"]
    assert export.events == "engagement"
    assert changes == {"events": "engagement"}
    given_settings = settings_of(tmp_path, None)
    edit(given_settings, state(given_settings, "moe"), events=("A, B", "C"))
    assert '{name: moe, source: moengage, frequency: streaming, events: ["A, B", C]}  # as' in (
        text_of(tmp_path)
    )


def test_another_frequency_begins_a_new_cycle_at_midnight(tmp_path: Path) -> None:
    given_settings = settings_of(tmp_path)
    zone = given_settings.zone_of(given_settings.config.event_exports[0])
    ran = datetime(2026, 3, 2, 10, 30, tzinfo=UTC)
    export, changes = edit(
        given_settings,
        state(given_settings, "ct", last_run_at=ran),
        frequency="every_12_hours",
    )
    assert changes == {"frequency": "every_12_hours", "cycle_from": "2026-03-03"}
    # Its events are still those from the first of January on.
    assert export.start_date == date(2026, 1, 1)
    runs: list[datetime] = []
    now = datetime(2026, 3, 2, 15, 30, tzinfo=UTC)
    while len(runs) < 3:
        if is_due(export, last_run=ran, now=now, zone=zone).is_due:
            runs.append(now)
            ran = now
        now += timedelta(minutes=30)
    # Midnight in Kolkata is 18:30 UTC.
    assert runs == [
        datetime(2026, 3, 2, 18, 30, tzinfo=UTC),
        datetime(2026, 3, 3, 6, 30, tzinfo=UTC),
        datetime(2026, 3, 3, 18, 30, tzinfo=UTC),
    ]
    given_settings = settings_of(tmp_path, None)
    export, _ = edit(
        given_settings,
        state(given_settings, "ct"),
        frequency="every_8_hours",
        start_date=date(2026, 3, 9),
    )
    assert (export.cycle_start, export.start_date) == (date(2026, 3, 9), date(2026, 1, 1))
    given_settings = settings_of(tmp_path, None)
    export, _ = edit(given_settings, state(given_settings, "ct"), start_date=date(2026, 3, 20))
    assert (export.cycle_from, export.start_date) == (None, date(2026, 3, 20))
    assert "cycle_from" not in text_of(tmp_path)


ONE_TIME = """\
version: 1
event_exports:
  - {name: once, source: clevertap, frequency: one_time, from: 2026-02-01, to: 2026-02-02}
  - {name: off, source: clevertap, enabled: false}
  - {name: on, source: clevertap}
"""


def test_what_the_page_does_not_allow_is_refused(tmp_path: Path) -> None:
    given_settings = settings_of(tmp_path, ONE_TIME)
    refused: list[tuple[str, dict[str, Any], str]] = [
        ("once", {"events": ("all",)}, "cannot be edited"),
        ("off", {"events": ("all",)}, "STOPPED"),
        ("on", {}, "nothing to change"),
        ("on", {"frequency": "one_time"}, "stays one"),
        ("on", {"frequency": "streaming"}, "moengage"),
        ("on", {"frequency": "hourly"}, "every_4_hours"),
    ]
    for name, change, problem in refused:
        with pytest.raises(ConfigurationError, match=problem):
            edit(given_settings, state(given_settings, name), **change)
    with pytest.raises(ConfigurationError, match="nothing to stop"):
        stop(given_settings, state(given_settings, "off"))
    done = state(given_settings, "once", last_run_at=datetime(2026, 3, 1, tzinfo=UTC))
    assert done.status == "DONE"
    with pytest.raises(ConfigurationError, match="is DONE"):
        stop(given_settings, done)
    assert text_of(tmp_path) == ONE_TIME


def test_stop_is_told_to_the_ledger_and_written_down(tmp_path: Path) -> None:
    given_settings = settings_of(tmp_path)
    export = stop(given_settings, state(given_settings, "moe"))
    assert not export.enabled
    assert "frequency: streaming, enabled: false}  # as it comes" in text_of(tmp_path)
    (line,) = read_lines(given_settings.home.ledger)
    assert (line.kind, line.sync, line.plan_id) == ("paused", "moe", None)
    assert state(settings_of(tmp_path, None), "moe").status == "STOPPED"


@pytest.mark.parametrize(
    ("frequency", "runs", "status"),
    [
        ("every_4_hours", Runs(), "PENDING"),
        ("every_4_hours", Runs(pending=3), "RUNNING"),
        ("every_4_hours", Runs(last_run_at=datetime(2026, 3, 1, tzinfo=UTC)), "PENDING"),
        ("every_4_hours", Runs(unknown=1), "RUNNING"),
        ("streaming", Runs(), "PENDING"),
        ("streaming", Runs(last_run_at=datetime(2026, 3, 1, tzinfo=UTC)), "RUNNING"),
        ("one_time", Runs(), "PENDING"),
        ("one_time", Runs(last_run_at=datetime(2026, 3, 1, tzinfo=UTC), pending=1), "RUNNING"),
        ("one_time", Runs(last_run_at=datetime(2026, 3, 1, tzinfo=UTC), rejected=1), "DONE"),
    ],
)
def test_status(frequency: str, runs: Runs, status: str) -> None:
    days = {"from": date(2026, 2, 1), "to": date(2026, 2, 2)} if frequency == "one_time" else {}
    export = EventExport.model_validate(
        {"name": "x", "source": "moengage", "frequency": frequency, **days}
    )
    assert status_of(export, runs) == status
    assert status_of(export.model_copy(update={"enabled": False}), runs) == "STOPPED"


def test_lists_are_filtered_and_paged(tmp_path: Path) -> None:
    given_settings = settings_of(tmp_path)
    ran = {"ct": Runs(last_run_at=datetime(2026, 3, 1, 23, 59, tzinfo=UTC))}
    states = states_of(given_settings, ran)

    def names(**asked: Any) -> list[str]:
        return [one.export.name for one in states if Filter(**asked).matches(one)]

    assert names() == ["ct", "moe"]
    assert names(partner="moengage") == ["moe"]
    assert names(status="PENDING", frequency="every_24_hours") == ["ct"]
    assert names(type="events", format="json") == ["ct", "moe"]
    assert names(first=date(2026, 3, 1), last=date(2026, 3, 1)) == ["ct"]
    assert names(first=date(2026, 3, 2)) == []
    many = [states[0]] * 25
    assert [len(list(page_of(many, page, 10))) for page in (1, 2, 3, 4)] == [10, 10, 5, 0]


@pytest.mark.parametrize(
    ("period", "first", "last"),
    [
        ("today", "2026-03-01", "2026-03-01"),
        ("yesterday", "2026-02-28", "2026-02-28"),
        ("current_month", "2026-03-01", "2026-03-01"),
        ("previous_month", "2026-02-01", "2026-02-28"),
    ],
)
def test_periods_are_days_of_the_calendar(period: str, first: str, last: str) -> None:
    found = days_of(period, date(2026, 3, 1))
    assert found == (date.fromisoformat(first), date.fromisoformat(last))


def run(home: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, Any]:
    monkeypatch.setenv("RELAY_HOME", str(home))
    monkeypatch.setenv("RELAY_NOW", NOW)
    group = click.Group("relay")
    commands.register(group)
    result = CliRunner().invoke(group, ["exports", *arguments, "--json"])
    document = json.loads(result.stdout) if result.stdout else None
    return result.exit_code, document


def test_the_commands_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "syncs.yml").write_text(FILE, encoding="utf-8")
    once = ("--partner", "clevertap", "--frequency", "one_time", "--period", "yesterday")
    assert run(tmp_path, monkeypatch, "create", "one", *once)[0] == 0
    code, document = run(tmp_path, monkeypatch, "list", "--page-size", "10")
    assert code == 0
    assert (document["page"], document["page_size"], document["total"]) == (1, 10, 3)
    assert document["exports"][2] == {
        "name": "one",
        "partner": "clevertap",
        "type": "events",
        "format": "json",
        "status": "PENDING",
        "frequency": "one_time",
        "created_at": "2026-03-02T15:30:00Z",
        "last_run_at": None,
        "next_run_at": "2026-03-02T15:30:00Z",
    }
    code, document = run(tmp_path, monkeypatch, "show", "one")
    assert document["definition"]["from"] == document["definition"]["to"] == "2026-03-01"
    assert run(tmp_path, monkeypatch, "edit", "ct", "--frequency", "every_12_hours")[0] == 0
    code, document = run(tmp_path, monkeypatch, "stop", "ct")
    assert (code, "--yes" in document["error"]["message"]) == (2, True)
    assert run(tmp_path, monkeypatch, "stop", "ct", "--yes")[0] == 0
    _, document = run(tmp_path, monkeypatch, "list", "--status", "STOPPED")
    assert [one["name"] for one in document["exports"]] == ["ct"]
    assert run(tmp_path, monkeypatch, "list", "--page-size", "15")[0] == 2
    assert run(tmp_path, monkeypatch, "show", "nobody")[0] == 2


words = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=12)


@settings(deadline=None, max_examples=60)
@given(values=st.lists(words, min_size=1, max_size=4), name=words)
def test_any_text_is_read_back_as_it_was_written(values: list[str], name: str) -> None:
    entry: dict[str, Value] = {
        "name": "x",
        "nickname": name,
        "events": tuple(values),
        "on": True,
    }
    yaml = YAML(typ="safe", pure=True)
    written = append_entry("a: 1 # one\n", "list", entry)
    assert yaml.load(written)["list"] == [{**entry, "events": values}]
    flow = append_entry("list: [{name: y}]\n", "list", entry)
    assert yaml.load(flow)["list"][1] == {**entry, "events": values}
    again = set_keys(written, "list", "x", {"nickname": None, "events": ("z",), "new": name})
    assert yaml.load(again)["list"] == [{"name": "x", "events": ["z"], "on": True, "new": name}]
