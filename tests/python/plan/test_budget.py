"""The download budget: what is counted, when it is spaced out, when it is refused."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from relay import warehouse
from relay.cli.main import relay
from relay.cli.plan import plan_text
from relay.config import AmplitudeConfig, CohortSync, Config
from relay.errors import BudgetError
from relay.plan import make
from relay.plan.budget import Budget, CohortHistory, look_at_budget, make_budget, read_budget
from relay.plan.make import PlanOutcome, PlanRequest
from relay.settings import Settings, load_settings

NOW = datetime(2026, 3, 11, tzinfo=UTC)  # 21 days of March are left


def sync(name: str, cohort_id: str, destination: str = "lytics", **fields: Any) -> CohortSync:
    return CohortSync(name=name, cohort_id=cohort_id, destination=destination, **fields)  # type: ignore[arg-type]


def budget(*syncs: CohortSync, monthly: int = 500, used: int = 0, **known: Any) -> Budget:
    amplitude = AmplitudeConfig(monthly_cohort_downloads=monthly)
    config = Config(cohort_syncs=syncs, amplitude=amplitude)
    return make_budget(config, now=NOW, used=used, **known)


def test_one_cohort_counts_once_for_all_its_destinations() -> None:
    assert budget(sync("a", "1", "clevertap"), sync("b", "1"), sync("c", "2")).forecast == 60
    at_two_times = budget(sync("a", "1", "moengage", at="06:00"), sync("b", "1", at="18:00"))
    assert at_two_times.forecast == 60


def test_hourly_and_real_time_count_720_and_43200() -> None:
    assert budget(sync("a", "1", frequency="hourly")).forecast == 720
    assert (
        budget(sync("a", "1", frequency="real_time"), sync("b", "1", "moengage")).forecast == 43_200
    )
    assert budget(sync("a", "1", frequency="one_time")).forecast == 1
    assert budget(sync("a", "1", frequency="one_time"), finished=frozenset("a")).forecast == 0
    assert budget(sync("a", "1", enabled=False)).forecast == 0


def test_what_was_seen_to_move_is_what_is_forecast_after_a_week() -> None:
    hourly = sync("a", "1", frequency="hourly")
    days = [NOW - timedelta(days=number) for number in range(10)]
    ten_days = CohortHistory(NOW - timedelta(days=10), tuple(days))
    assert budget(hourly, histories={"1": ten_days}).forecast == 30
    two_days = CohortHistory(NOW - timedelta(days=2), tuple(days))
    assert budget(hourly, histories={"1": two_days}).forecast == 720


def test_too_many_are_spaced_over_what_is_left_with_a_schedule_that_fits() -> None:
    greedy = budget(sync("quick", "1", frequency="hourly"), sync("slow", "2"), used=248)
    assert greedy.spacing == timedelta(hours=2)
    assert greedy.next_download_at(NOW - timedelta(hours=1)) == NOW + timedelta(hours=1)
    assert greedy.advice is not None
    for part in (
        "2 cohorts",
        "750",
        "500",
        "252 left",
        "2.0 hours",
        "daily",
        "quick",
        "60 a month",
    ):
        assert part in greedy.advice
    assert "slow" not in greedy.advice


def test_a_schedule_that_fits_is_spaced_only_when_the_month_runs_short() -> None:
    assert budget(sync("a", "1")).spacing is None
    short = budget(sync("a", "1"), used=490)
    assert short.spacing == timedelta(days=2.1)
    assert short.advice is not None
    assert "From then on the schedule fits" in short.advice
    spent = budget(sync("a", "1"), used=500)
    assert spent.next_download_at(None) == datetime(2026, 4, 1, tzinfo=UTC)


def test_more_cohorts_than_one_a_day_each_are_refused_by_name() -> None:
    syncs = [sync(f"sync-{number}", str(number)) for number in range(17)]
    budget(*syncs[:16])
    with pytest.raises(BudgetError, match=r"17 cohorts need 510 .* 500 .*sync-16.*at most 16"):
        budget(*syncs)
    with pytest.raises(BudgetError, match="everything"):
        budget(sync("everything", "all"), listed_cohorts=[str(n) for n in range(17)])


# --- what the commands say ------------------------------------------------------------------------

HOURLY = """version: 1
cohort_syncs:
  - {name: quick, cohort_id: "1", destination: moengage, frequency: hourly}
"""
PLAIN = PlanRequest()
NEVER = "amplitude: {monthly_cohort_downloads: 29}\n"


def settings_of(folder: Path, text: str, **environ: str) -> Settings:
    (folder / "syncs.yml").write_text(text, encoding="utf-8")
    return load_settings(folder, environ={"RELAY_NOW": "2026-03-11T00:00:00Z"} | environ)


def test_what_was_used_is_counted_by_the_calendar_month_and_files_need_no_download(
    tmp_path: Path,
) -> None:
    every = HOURLY.replace('"1"', "all").replace("moengage", "lytics")
    settings = settings_of(tmp_path, every)
    with warehouse.connect(settings) as connection:
        connection.execute(
            "insert into raw.cohort_requests select 'r' || n, '1', asked, null, state, null, null"
            " from (values (1, timestamp '2026-02-28 23:59:59', 'loaded'),"
            " (2, timestamp '2026-03-01', 'refused'), (3, timestamp '2026-03-10', 'lost'))"
            " as requests (n, asked, state)"
        )
        connection.execute(
            "insert into raw.amplitude_cohorts (cohort_id, definition, listed_at) values"
            " ('1', '{}', current_timestamp), ('2', 'null', current_timestamp),"
            " ('of-a-file', null, current_timestamp)"
        )
        found = read_budget(connection, settings.config, now=NOW)
    assert (found.used, found.left, found.resets_at.month) == (2, 498, 4)
    assert [cohort.cohort_id for cohort in found.cohorts] == ["1", "2"]


def test_status_says_what_does_not_fit_and_what_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path, HOURLY)
    warehouse.connect(settings).close()
    warehouse.publish(settings.home)
    # The syncs themselves come from models; here they do not matter.
    monkeypatch.setattr("relay.cli.look.status", lambda *_: [])
    monkeypatch.setenv("RELAY_HOME", str(tmp_path))
    monkeypatch.setenv("RELAY_NOW", "2026-03-11T00:00:00Z")
    told = CliRunner().invoke(relay, ["status"])
    assert told.exit_code == 0
    assert "need about 720 downloads a month; 500 are allowed, 0 used, 500 left" in told.stdout
    assert "A schedule that fits: frequency: daily" in told.stdout
    assert "quick" in told.stdout
    document = json.loads(CliRunner().invoke(relay, ["status", "--json"]).stdout)
    assert (document["budget"]["forecast"], document["budget"]["fits"]) == (720, False)
    settings_of(tmp_path, HOURLY + NEVER)
    never = CliRunner().invoke(relay, ["status"])
    assert (never.exit_code, "even once a day" in never.stdout) == (0, True)


def test_a_plan_says_what_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "build", lambda _: None)
    monkeypatch.setattr(make, "_seal_what_is_due", lambda *_: PlanOutcome(None, ()))
    outcome = make.make_plan(settings_of(tmp_path, HOURLY), PLAIN)
    assert outcome.document["budget"]["forecast"] == 720
    assert "budget: 1 cohorts need about 720 downloads a month" in plan_text(outcome)
    fits = make.make_plan(settings_of(tmp_path, HOURLY.replace("hourly", "daily")), PLAIN)
    assert fits.document["budget"]["fits"]
    assert "budget" not in plan_text(fits)


def test_a_plan_is_refused_before_it_is_built_where_no_download_a_day_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Any] = []
    monkeypatch.setattr(make, "build", built.append)
    monkeypatch.setattr(make, "_seal_what_is_due", lambda *_: PlanOutcome(None, ()))
    with_keys = settings_of(tmp_path, HOURLY + NEVER, AMPLITUDE_SECRET_KEY="s")
    with pytest.raises(BudgetError, match="1 cohorts need 30 downloads a month even once a day"):
        make.make_plan(with_keys, PLAIN)
    assert (built, BudgetError.exit_code) == ([], 2)
    # Without keys cohorts come as files, and nothing is downloaded.
    by_files = make.make_plan(settings_of(tmp_path, HOURLY + NEVER), PLAIN)
    assert "even once a day" in plan_text(by_files)
    assert by_files.document["budget"]["fits"] is False


def test_a_look_at_the_budget_tells_of_what_never_fits_instead_of_failing(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, HOURLY + NEVER)
    with warehouse.connect(settings) as connection:
        look = look_at_budget(connection, settings.config, now=NOW)
    assert look.budget is None
    assert "29 are allowed" in str(look.advice)
