"""The download budget: what is counted, when it is spaced out, when it is refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from relay.config import AmplitudeConfig, CohortSync, Config
from relay.errors import BudgetError
from relay.plan.budget import Budget, CohortHistory, make_budget

NOW = datetime(2026, 3, 11, tzinfo=UTC)  # 21 days of March are left


def sync(name: str, cohort_id: str, destination: str = "lytics", **fields: Any) -> CohortSync:
    return CohortSync(name=name, cohort_id=cohort_id, destination=destination, **fields)  # type: ignore[arg-type]


def budget(*syncs: CohortSync, monthly: int = 500, used: int = 0, **known: Any) -> Budget:
    amplitude = AmplitudeConfig(monthly_cohort_downloads=monthly)
    config = Config(cohort_syncs=syncs, amplitude=amplitude)
    return make_budget(config, now=NOW, used=used, **known)


def test_one_cohort_counts_once_for_all_its_destinations() -> None:
    assert budget(sync("a", "1", "clevertap"), sync("b", "1"), sync("c", "2")).forecast == 60
    at_two_times = budget(sync("a", "1", at="06:00"), sync("b", "1", at="18:00"))
    assert at_two_times.forecast == 60


def test_hourly_and_real_time_count_720_and_43200() -> None:
    assert budget(sync("a", "1", frequency="hourly")).forecast == 720
    assert budget(sync("a", "1", frequency="real_time"), sync("b", "1")).forecast == 43_200
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
