"""Settings: what a file and an environment mean, and that every mistake is told with its place."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from relay.config import CohortSync
from relay.errors import ConfigurationError
from relay.regions import SEED
from relay.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parents[2]
ONE_SEGMENT = """cohort_syncs:
- {name: a, cohort_id: c, destination: moengage}
- {name: other, cohort_id: c, destination: moengage, segment_name: Other}
- {name: off, cohort_id: c, destination: moengage, enabled: false}
- {name: b, cohort_id: c, destination: moengage}
"""
ONE_TIME = "event_exports: [{name: e, source: moengage, frequency: one_time"
SECRETS = {
    "AMPLITUDE_API_KEY": "k-amplitude-1",
    "AMPLITUDE_SECRET_KEY": "k-amplitude-2",
    "CLEVERTAP_PASSCODE": "k-clevertap",
    "MOENGAGE_API_KEY": "k-moengage",
    "LYTICS_API_TOKEN": "k-lytics",
}


def load(folder: Path, text: str | None = None, **environ: str) -> Settings:
    if text is not None:
        (folder / "syncs.yml").write_text(text, encoding="utf-8")
    return load_settings(folder, environ=environ)


def problems(folder: Path, text: str) -> list[str]:
    """Each line of the error, from the line number on."""
    with pytest.raises(ConfigurationError) as caught:
        load(folder, text)
    lines = [line for line in str(caught.value).splitlines() if not line.endswith("problems:")]
    return [line.removeprefix(f"{folder}/syncs.yml:") for line in lines]


def test_without_a_file_the_configuration_is_its_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.config.syncs == ()
    assert settings.config.guard.model_dump() == {
        "max_removed_percent": 30.0,
        "max_added_percent": 300.0,
        "min_members": 50,
    }
    assert settings.home.database == tmp_path / "warehouse" / "relay.duckdb"


def test_the_example_is_read_with_its_defaults_filled_in(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, environ={}, syncs_file=ROOT / "syncs.example.yml")
    by_name = {sync.name: sync for sync in settings.config.syncs}
    to_moengage = by_name["cart-to-moengage"]
    assert isinstance(to_moengage, CohortSync)
    assert (to_moengage.delivery, to_moengage.frequency) == (None, "daily")
    assert to_moengage.user_id_from == ("user_id",)
    on_unknown = {name: settings.config.on_unknown_of(sync) for name, sync in by_name.items()}
    assert on_unknown == {
        "cart-to-clevertap": "hold",
        "loyal-to-clevertap": "hold",
        "cart-to-moengage": "resend",
        "cart-to-lytics": "resend",
        "events-to-lytics": "hold",
        "clevertap-engagement": "resend",
        "moengage-engagement": "resend",
    }


def test_a_sync_sets_the_part_of_the_guard_it_names(tmp_path: Path) -> None:
    text = """
guard: {max_removed_percent: 20}
cohort_syncs:
  - {name: a, cohort_id: "1", destination: lytics, guard: {min_members: 5}}
"""
    config = load(tmp_path, text).config
    guard = config.guard_of(config.cohort_syncs[0])
    assert (guard.max_removed_percent, guard.max_added_percent, guard.min_members) == (20, 300, 5)


def test_all_problems_are_told_at_once_with_line_and_field(tmp_path: Path) -> None:
    text = """\
version: 1
gaurd: {}
guard: {max_removed_percent: 130}
cohort_syncs:
  - name: same
    cohort_id: 1638361188
    destination: clevertap
    enabeld: true
  - name: b
    cohort_id: all
    destination: moengage
    delivery: events
    frequency: hourly
    at: "06:00"
    timezone: Asia/Culcutta
  - name: c
    cohort_id: all
    destination: moengage
    delivery: events
    frequency: hourly
    at: "06:00"
event_imports:
  - {name: same, backfill_days: 90, backfill_days: 30}
event_exports:
  - {name: Bad Name, source: clevertap, frequency: every_3_hours}
  - {name: d, source: clevertap, frequency: streaming, from: 2026-01-01}
"""
    expected = [
        "2: gaurd: is no key here; did you mean guard?",
        "3: guard.max_removed_percent: expected to be less than or equal to 100",
        '6: cohort_syncs[0].cohort_id: expected text; quote it: "1638361188"',
        "8: cohort_syncs[0].enabeld: is no key here; did you mean enabled?",
        "15: cohort_syncs[1].timezone: expected a time zone of the IANA data base",
        "17: cohort_syncs[2].cohort_id: `all` goes only with destination: lytics; name one cohort",
        "19: cohort_syncs[2].delivery: goes only with destination: clevertap; leave it out",
        "21: cohort_syncs[2].at: goes only with frequency: daily; leave it out",
        "23: event_imports[0].backfill_days: stands twice, first in line 23",
        "23: event_imports[0].name: another sync, import or export has this name",
        "25: event_exports[0].frequency: expected one_time, every_4_hours … every_24_hours",
        "25: event_exports[0].name: expected a name that can be a file name: small letters",
        "26: event_exports[1].frequency: streaming goes only with source: moengage",
        "26: event_exports[1].from: goes only with frequency: one_time; use start_date",
    ]
    found = problems(tmp_path, text)
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("cohort_syncs: [", "1: is not YAML: "),
        (ONE_SEGMENT, "1: cohort_syncs: a and b bring one cohort to one segment"),
        ("a: 1\n b: 2", "2: is not YAML: "),
        ("- a", "1: expected a mapping of keys to values"),
        ("suppress: nowhere.csv", "1: suppress: no such file: "),
        ("identity: {namespaces: {829528: x}}", "1: identity.namespaces.829528: a key must be"),
        ('identity: {namespaces: {"1": "a:b"}}', "1: identity.namespaces.1: expected letters"),
        ("moengage: {cohort_name_format: '{name}?'}", "1: moengage.cohort_name_format: expected"),
        ("clevertap: {event_name: 'a.b'}", "1: clevertap.event_name: expected at most 120"),
        (f"{ONE_TIME}, from: 2026-01-01}}]", "1: event_exports[0].to: a one_time export needs"),
        (
            f"{ONE_TIME}, from: 2026-01-02, to: 2026-01-01}}]",
            "1: event_exports[0].to: expected a day that is not before",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(tmp_path, text)[0].startswith(problem)


def test_a_key_without_a_value_is_as_if_left_out(tmp_path: Path) -> None:
    config = load(tmp_path, "event_imports:\n  # all commented out\nsuppress:\n").config
    assert (config.event_imports, config.suppress) == ((), None)


def test_the_process_wins_over_the_env_file_and_empty_is_unset(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "CLEVERTAP_REGION=in1\nAMPLITUDE_REGION=eu\nMOENGAGE_DATA_CENTER=\nOTHER=x\n"
    )
    env = load(tmp_path, CLEVERTAP_REGION="us1", LYTICS_API_TOKEN="").env
    assert env.clevertap_host() == "https://us1.api.clevertap.com"
    assert env.amplitude_host() == "https://analytics.eu.amplitude.com"
    assert env.lytics_api_token is None
    with pytest.raises(ConfigurationError, match="MOENGAGE_DATA_CENTER is not set"):
        env.moengage_host()


def test_a_custom_list_names_somebody(tmp_path: Path) -> None:
    """CleverTap's call has an e-mail address; without one of yours it is nobody's."""
    assert load(tmp_path).config.clevertap.list_email == "cohort-relay@example.invalid"
    given = "version: 1\nclevertap: {list_email: ops@shop.example, list_creator: Shop}\n"
    assert load(tmp_path, given).config.clevertap.list_email == "ops@shop.example"
    wrong = "version: 1\nclevertap: {list_email: somebody}\n"
    with pytest.raises(ConfigurationError, match="expected an e-mail address"):
        load(tmp_path, wrong)


def test_clevertaps_regions_are_those_of_its_page(tmp_path: Path) -> None:
    """The page's table, row by row: name, interface, dashboard; Europe is the default."""
    page = {
        "eu1": ("Europe", "api.clevertap.com"),
        "in1": ("India", "in1.api.clevertap.com"),
        "aps3": ("Indonesia", "aps3.api.clevertap.com"),
        "mec1": ("Middle East (UAE)", "mec1.api.clevertap.com"),
        "sg1": ("Singapore", "sg1.api.clevertap.com"),
        "sk1": ("South Korea", "sk1.api.clevertap.com"),
        "us1": ("United States", "us1.api.clevertap.com"),
    }
    with SEED.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["vendor"] == "clevertap"]
    assert {row["region"] for row in rows} == set(page)
    for row in rows:
        name, host = page[row["region"]]
        assert (row["region_name"], row["host"]) == (name, f"https://{host}")
        assert row["dashboard_url"] == (
            f"https://{row['region']}.dashboard.clevertap.com/login.html"
        )
        assert load(tmp_path, CLEVERTAP_REGION=row["region"]).env.clevertap_host() == row["host"]
    assert [row["region"] for row in rows if row["is_default"] == "true"] == ["eu1"]


def test_hosts_follow_their_regions(tmp_path: Path) -> None:
    unset = load(tmp_path).env
    assert unset.amplitude_host() == "https://amplitude.com"
    assert unset.amplitude_ingest_host() == "https://api.eu.amplitude.com"
    assert unset.amplitude_ingest_host("standard") == "https://api2.amplitude.com"
    assert unset.clevertap_host() == "https://api.clevertap.com"
    env = load(tmp_path, AMPLITUDE_REGION="us", MOENGAGE_DATA_CENTER="101").env
    assert env.amplitude_ingest_host() == "https://api2.amplitude.com"
    assert env.moengage_host() == "https://api-101.moengage.com"
    local = load(tmp_path, CLEVERTAP_API_URL="http://127.0.0.1:8001/", CLEVERTAP_REGION="in1").env
    assert local.clevertap_host() == "http://127.0.0.1:8001"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("CLEVERTAP_REGION", "eu2", "eu1, in1, sg1, us1, aps3, mec1, sk1"),
        ("MOENGAGE_DATA_CENTER", "7", "01, 02, 03, 04, 05, 06, 101"),
        ("AMPLITUDE_REGION", "EU", "us, eu"),
        ("CLEVERTAP_TIMEZONE", "Kolkata", "IANA"),
        ("RELAY_NOW", "yesterday", "ISO 8601"),
        ("RELAY_MEMORY", "all of it", "600MB or 4GB"),
        ("RELAY_MEMORY", "2 GB'; drop", "600MB or 4GB"),
        ("LYTICS_API_URL", "http://api.lytics.io", "https"),
        ("LYTICS_API_URL", "https://api.lytics.io/v2", "no path"),
        ("LYTICS_API_URL", "https://user:word@api.lytics.io", "no user"),
        ("LYTICS_API_URL", "http://localhost.evil.example", "https"),
        ("LYTICS_API_URL", "api.lytics.io", "https://host"),
        ("LYTICS_API_URL", "https://api.lytics.io:99999", "https://host"),
    ],
)
def test_a_wrong_variable_is_named_with_what_is_legal(
    tmp_path: Path, name: str, value: str, expected: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"(?s){name}: .*{expected}") as caught:
        load(tmp_path, **{name: value, "AMPLITUDE_API_KEY": "k-amplitude-1"})
    assert "k-amplitude-1" not in str(caught.value)
    assert "word" not in str(caught.value)


def test_the_clock_stands_where_relay_now_stops_it(tmp_path: Path) -> None:
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    for text in ("2026-03-02T12:00:00Z", "2026-03-02T13:00:00+01:00", "2026-03-02T12:00:00"):
        assert load(tmp_path, RELAY_NOW=text).now() == noon
    assert load(tmp_path).now().tzinfo is UTC


def test_no_secret_shows_anywhere(tmp_path: Path) -> None:
    settings = load(tmp_path, **SECRETS)
    env = settings.env
    with pytest.raises(ConfigurationError) as caught:
        env.require("amplitude_api_key", "clevertap_account_id", "moengage_workspace_id")
    assert "CLEVERTAP_ACCOUNT_ID, MOENGAGE_WORKSPACE_ID are not set" in str(caught.value)
    assert "AMPLITUDE_API_KEY" not in str(caught.value)
    shown = [repr(settings), str(settings), repr(env), str(env), str(caught.value)]
    shown += [json.dumps(env.model_dump(mode="json")), env.model_dump_json(), f"{vars(env)}"]
    for secret in SECRETS.values():
        assert not any(secret in text for text in shown)


def test_the_home_is_the_project_unless_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT / "tests")
    assert load_settings(environ={}, syncs_file=ROOT / "syncs.example.yml").home.root == ROOT
    monkeypatch.chdir(tmp_path)
    settings = load_settings(environ={"RELAY_HOME": "here"})
    assert settings.home.root == tmp_path / "here"
    assert settings.project_root == ROOT
