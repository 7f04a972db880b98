"""Writes the figures into docs/performance.md, between its two marks."""

from pathlib import Path
from typing import Any

from bench.goals import GOALS, Goal

BEGIN = "<!-- figures: written by `make bench` -->"
END = "<!-- end of the figures -->"
Row = dict[str, Any]


def write_page(path: Path, document: dict[str, Any]) -> None:
    """Put the tables between the marks; the rest of the page stays as it is.

    Raises:
        ValueError: The page has no marks.
    """
    text = path.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path}: expected the lines {BEGIN!r} and {END!r}; put them back")
    path.write_text(f"{head}{BEGIN}\n\n{tables(document)}\n{END}{tail}", encoding="utf-8")


def tables(document: dict[str, Any]) -> str:
    """The machine in a sentence, the table of the goals, and what was measured beside them."""
    rows: list[Row] = document["rows"]
    parts = [_machine(document["machine"], rows), _goal_table(rows)]
    beside = [row for row in rows if row["name"] not in GOALS]
    if beside:
        parts.append(_beside_table(beside))
    return "\n".join(parts)


def _machine(machine: dict[str, Any], rows: list[Row]) -> str:
    days = sorted({row["measured_on"] for row in rows})
    when = " to ".join(dict.fromkeys((days[0], days[-1]))) if days else "never"
    return (
        f"Measured {when} on {machine['cores']} cores ({machine['processor']}) and"
        f" {machine['memory_gib']} GiB of memory; {machine['system']}, Python {machine['python']},"
        f" DuckDB {machine['duckdb']}.\n"
    )


def _goal_table(rows: list[Row]) -> str:
    lines = [
        "| what | size | figure | floor | goal | reached | CPU s | peak MiB | beside it |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        goal = GOALS.get(row["name"])
        if goal is None:
            continue
        sign = "≤" if goal.direction == "min" else "≥"
        lines.append(
            f"| {goal.what} | {row['size']:,} | {_value(row, goal.unit)}"
            f" | {sign} {_number(goal.floor)} | {sign} {_number(goal.goal)}"
            f" | {reached(goal, row['value'])} | {row['cpu_seconds']:.2f}"
            f" | {_peak(row)} | {_words(row)} |"
        )
    return "\n".join(lines) + "\n"


def _beside_table(rows: list[Row]) -> str:
    lines = [
        "Beside the goals:",
        "",
        "| what | size | figure | CPU s | clock s | peak MiB | beside it |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        wall = "" if row["wall_seconds"] is None else f"{row['wall_seconds']:.2f}"
        lines.append(
            f"| {row['name']} | {row['size']:,} | {_value(row, row['unit'])}"
            f" | {row['cpu_seconds']:.2f} | {wall} | {_peak(row)} | {_words(row)} |"
        )
    return "\n".join(lines) + "\n"


def reached(goal: Goal, value: float) -> str:
    """`goal`, `floor` or `no`."""
    if goal.reaches(value, goal.goal):
        return "goal"
    return "floor" if goal.reaches(value, goal.floor) else "**no**"


def _value(row: Row, unit: str) -> str:
    spread = ""
    if row["low"] is not None and row["high"] is not None:
        spread = f" ({_number(row['low'])} to {_number(row['high'])})"
    return f"**{_number(row['value'])}**{f' {unit}' if unit else ''}{spread}"


def _peak(row: Row) -> str:
    return "" if row["peak_mib"] is None else f"{row['peak_mib']:,.0f}"


def _words(row: Row) -> str:
    return "; ".join(part for part in (row["against"], row["note"]) if part)


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.3f}"
