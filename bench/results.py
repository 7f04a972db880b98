"""Keeps what was measured: `details.json` everything, `results.json` the rows that have a goal.

One case may be measured again: its rows take the place of its former ones, and those of a case that
fails are taken out, since nothing is known of it any more.
"""

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from bench.case import Figure
from bench.goals import GOALS

# A row of results.json, in this order.
RESULT_KEYS = (
    "name",
    "size",
    "value",
    "floor",
    "goal",
    "direction",
    "checked",
    "cpu_seconds",
    "peak_mib",
)
Row = dict[str, Any]


def read_details(folder: Path) -> dict[str, Any]:
    """What former runs left: `{"machine", "rows"}`; no rows where there was no run yet."""
    path = folder / "details.json"
    if not path.exists():
        return {"machine": {}, "rows": []}
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def write(folder: Path, measured: dict[str, Sequence[Figure] | None]) -> dict[str, Any]:
    """Take in what was measured and write both files.

    Args:
        folder: Where they stand.
        measured: The checked figures of each case that ran; None where it failed.

    Returns:
        The document of `details.json`.
    """
    today = datetime.now(UTC).date().isoformat()
    rows = [row for row in read_details(folder)["rows"] if row["case"] not in measured]
    for case, figures in measured.items():
        rows += [
            {"case": case, **asdict(figure), "checked": True, "measured_on": today}
            for figure in figures or ()
        ]
    order = list(GOALS)
    rows.sort(
        key=lambda row: (
            order.index(row["name"]) if row["name"] in GOALS else len(order),
            row["case"],
        )
    )
    document = {"machine": machine(), "rows": rows}
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "details.json", document)
    _write_json(folder / "results.json", list(_with_goals(rows)))
    return document


def _with_goals(rows: Iterable[Row]) -> Iterable[Row]:
    for row in rows:
        goal = GOALS.get(row["name"])
        if goal is not None:
            marks = {"floor": goal.floor, "goal": goal.goal, "direction": goal.direction}
            whole = {**row, **marks}
            yield {key: whole[key] for key in RESULT_KEYS}


def _write_json(path: Path, document: object) -> None:
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def machine() -> dict[str, Any]:
    """What it was measured on: cores, memory, processor, versions."""
    pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(pages * page_bytes / 1024**3),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "duckdb": duckdb.__version__,
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"
