"""`relay doctor`: it names what is missing and never shows a key."""

from pathlib import Path

import pytest

from relay.report.doctor import DoctorReport, doctor
from relay.settings import load_settings

ONE_COHORT = 'cohort_syncs: [{name: a, cohort_id: "1", destination: moengage}]\n'


def report_of(folder: Path, text: str, **environ: str) -> DoctorReport:
    (folder / "syncs.yml").write_text(text, encoding="utf-8")
    return doctor(load_settings(folder, environ=environ))


def texts(report: DoctorReport, state: str) -> str:
    return "\n".join(check.text for check in report.checks if check.state == state)


def test_what_the_enabled_syncs_lack_is_named_and_no_key_is_shown(tmp_path: Path) -> None:
    report = report_of(tmp_path, ONE_COHORT, AMPLITUDE_API_KEY="k-1", MOENGAGE_API_KEY="k-2")
    assert "AMPLITUDE_API_KEY, MOENGAGE_API_KEY" in texts(report, "ok")
    assert "AMPLITUDE_SECRET_KEY, MOENGAGE_DATA_CENTER, MOENGAGE_WORKSPACE_ID;" in texts(
        report, "warning"
    )
    assert report.exit_code == 0
    shown = f"{report}{report.document}{report.lines}"
    assert "k-1" not in shown
    assert "k-2" not in shown


def test_a_schedule_beyond_every_budget_is_a_problem(tmp_path: Path) -> None:
    report = report_of(tmp_path, f"amplitude: {{monthly_cohort_downloads: 29}}\n{ONE_COHORT}")
    assert "1 cohorts need 30 downloads a month" in texts(report, "problem")
    assert (report.exit_code, report.budget) == (2, None)


@pytest.mark.parametrize(("first", "exit_code"), [("2026-01-01", 0), ("2025-12-01", 2)])
def test_a_one_time_export_must_begin_in_the_last_60_days(
    tmp_path: Path, first: str, exit_code: int
) -> None:
    text = (
        "event_exports: [{name: e, source: moengage, frequency: one_time, "
        f"from: {first}, to: 2026-01-05}}]"
    )
    report = report_of(tmp_path, text, RELAY_NOW="2026-02-15T00:00:00Z")
    assert report.exit_code == exit_code


def test_regions_that_one_project_cannot_be_in_are_told(tmp_path: Path) -> None:
    text = "event_exports: [{name: e, source: moengage, residency: eu}]"
    assert "e sends to Amplitude's eu region" in texts(
        report_of(tmp_path, text, AMPLITUDE_REGION="us"), "warning"
    )
    assert "region" not in texts(report_of(tmp_path, text, AMPLITUDE_REGION="eu"), "warning")


def test_a_file_of_ones_own_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("id_type,id_value\n")
    report = report_of(tmp_path, "suppress: s.csv")
    assert "s.csv:1: match: expected this column" in texts(report, "problem")
