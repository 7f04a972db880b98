"""docs/identity.md names tests that are there, for every rule."""

import re

from relay.settings import find_project_root

ROOT = find_project_root()
TEXT = (ROOT / "docs" / "identity.md").read_text(encoding="utf-8")
TABLES = TEXT[TEXT.index("## Each rule and its test") :]


def test_each_test_that_a_rule_names_is_there() -> None:
    python = {
        name
        for path in (ROOT / "tests" / "python").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    unit_tests = {
        name
        for path in (ROOT / "models").rglob("*unit_tests.yml")
        for name in re.findall(r"^  - name: (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    data_tests = {path.stem for path in (ROOT / "tests" / "dbt").glob("*.sql")}
    named = {name for name in re.findall(r"`(\w+)`", TABLES) if "_" in name}
    assert named - python - unit_tests - data_tests == {"test_"} & named


def test_every_rule_is_in_the_tables() -> None:
    rules = [f"ID-{number}" for number in range(1, 25)]
    missing = [rule for rule in rules if f"| {rule} |" not in TABLES]
    missing += [f"R{n}" for n in (2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14) if f"R{n} " not in TABLES]
    missing += [f"property {n}" for n in range(1, 9) if f"\n| {n} " not in TABLES]
    assert missing == []
