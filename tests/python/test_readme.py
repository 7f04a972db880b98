"""The README's own lines, typed on the committed exports, do what README and examples say."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from relay.emulate.clevertap.switches import ClevertapSwitches
from relay.emulate.clock import Clock
from relay.emulate.house import Emulators

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "exports" / "README.md"
COHORT = "1638361188"


def block_with(page: Path, words: str) -> list[str]:
    """The lines of the one fenced block of a page that has these words, continued ones joined."""
    blocks = re.findall(r"^```(?:sh)?\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if words in block]
    return [line for line in found.replace("\\\n", " ").splitlines() if line]


def type_in(lines: list[str], environ: Mapping[str, str]) -> str:
    """Run the lines in one shell at the project's root, as a person would; what they printed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(lines)],
        cwd=ROOT,
        env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **environ},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def sealed(home: Path) -> Path:
    """The folder of the newest plan."""
    return max(file.parent for file in home.glob("outbox/*/manifest.json"))


def changes(plan: Path) -> dict[str, set[str]]:
    """The plan's keys as they are sent, by action."""
    found: dict[str, set[str]] = {}
    for action, key in duckdb.sql(
        f"select action, key_value from '{plan / 'cart-to-clevertap.rows.parquet'}'"
    ).fetchall():
        found.setdefault(action, set()).add(key)
    return found


def test_two_evenings_by_hand(tmp_path: Path) -> None:
    typed = block_with(ROOT / "README.md", "mktemp")
    assert typed[0] == "export RELAY_HOME=$(mktemp -d) RELAY_NOW=2026-06-16T21:00:00Z"
    # Its own line makes the folder, here below the test's.
    first = {"TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    printed = type_in(typed, first)
    (home,) = tmp_path.glob("tmp.*")
    plan = sealed(home)
    assert f"relay apply {plan.name}" in printed
    assert changes(plan) == {
        "added": {"Ann@shop.example", "ipad-7", "chloë-77", "laptop-5d2b", "cust-000417"}
    }

    clock = Clock(datetime.fromisoformat("2026-06-16T21:00:00Z"), frozen=True)
    switches = ClevertapSwitches(partner_sync_restricted=False)
    with Emulators(clock=clock, clevertap=switches) as emulators:
        evening = {**emulators.environ, "RELAY_HOME": str(home), "HOME": str(tmp_path)}
        evening["RELAY_NOW"] = "2026-06-16T21:00:00Z"
        type_in([f"relay apply {plan.name}"], evening)

        clock.set(datetime.fromisoformat("2026-06-17T21:00:00Z"))
        evening["RELAY_NOW"] = "2026-06-17T21:00:00Z"
        second = block_with(EXAMPLES, "relay load merges")
        type_in([*second, "relay plan cart-to-clevertap"], evening)
        plan = sealed(home)
        assert changes(plan) == {
            "removed": {"ipad-7", "laptop-5d2b", "cust-000417"},
            "added": {"bo.larsen", "esra.k"},
            "reasserted": {"chloë-77"},
        }
        type_in([f"relay apply {plan.name}"], evening)
        assert {key for _, key in emulators.clevertap.members(COHORT)} == {
            "Ann@shop.example",
            "bo.larsen",
            "chloë-77",
            "esra.k",
        }


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))])
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    missing = [
        target
        for target in targets
        if not target.startswith("http") and not (page.parent / target).exists()
    ]
    assert not missing
