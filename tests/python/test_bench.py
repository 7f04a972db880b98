"""The benchmark's runner: a tiny case from end to end, and what becomes of a wrong result."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import bench.__main__ as runner
from bench import results
from bench.case import Figure
from bench.goals import GOALS
from bench.measuring import Side, alternate
from bench.page import BEGIN, END, write_page

KEYS = ["name", "size", "value", "floor", "goal", "direction", "checked", "cpu_seconds", "peak_mib"]


def test_a_tiny_case_leaves_its_rows(tmp_path: Path) -> None:
    arguments = ["sealing", "--size", "2500", "--rounds", "1", "--out", str(tmp_path)]
    done = CliRunner().invoke(runner.main, arguments)
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert [list(row) for row in rows] == [KEYS, KEYS]
    assert [row["name"] for row in rows] == ["sealing", "sealing_peak_memory"]
    for row in rows:
        goal = GOALS[row["name"]]
        assert (row["floor"], row["goal"], row["direction"]) == (
            goal.floor,
            goal.goal,
            goal.direction,
        )
        assert row["size"] == 2500
        assert row["checked"] is True
        assert min(row["value"], row["cpu_seconds"], row["peak_mib"]) > 0


def test_a_case_that_fails_takes_its_rows_away(tmp_path: Path) -> None:
    figure = Figure("sealing", 10, 0.6, 1.0, 1.0, 0.5, 0.7, peak_mib=100.0)
    results.write(tmp_path, {"a": [figure], "b": [replace(figure, name="upload")]})
    results.write(tmp_path, {"a": None})
    rows = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert [row["name"] for row in rows] == ["upload"]


def test_a_wrong_result_is_not_timed() -> None:
    def refuse(result: int) -> None:
        raise AssertionError(result)

    with pytest.raises(AssertionError):
        alternate(Side(lambda: 1, refuse), Side(lambda: 2, lambda _: None), 1)


def test_both_sides_run_in_turn() -> None:
    seen: list[str] = []
    ours = Side(lambda: seen.append("A"), lambda _: None)
    theirs = Side(lambda: seen.append("B"), lambda _: None)
    assert len(alternate(ours, theirs, 3).ratios()) == 3
    assert seen == ["A", "B"] * 3


def test_the_page_keeps_what_stands_around_the_figures(tmp_path: Path) -> None:
    figure = Figure("sealing", 1000, 0.6, 1.0, 1.0, 0.5, 0.7, "`copy`", peak_mib=100.0)
    beside = Figure("networkx", 1000, 7.0, 3.0, 3.0, unit="times")
    document = results.write(tmp_path, {"a": [figure, beside]})
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    write_page(page, document)
    write_page(page, document)
    text = page.read_text("utf-8")
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert text.count("| 1,000 | **0.60** (0.50 to 0.70) | ≥ 0.50 | ≥ 0.70 | floor | 1.00 |") == 1
    assert "| networkx | 1,000 | **7.00** times |" in text


def test_figures_of_other_sizes_never_reach_the_page() -> None:
    done = CliRunner().invoke(runner.main, ["sealing", "--size", "10"])
    assert done.exit_code == 2
    assert "--out" in done.output


def test_an_unknown_case_is_refused_with_those_there_are() -> None:
    done = CliRunner().invoke(runner.main, ["seeling"])
    assert done.exit_code == 2
    assert "there are" in done.output
    assert "sealing" in done.output
