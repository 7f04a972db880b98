"""What the product imports is what `make run` installs, not only what its developers have."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_import_is_in_the_lock_of_the_product() -> None:
    imported = set()
    for file in (ROOT / "scripts" / "relay").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    lock = (ROOT / "requirements" / "run.txt").read_text(encoding="utf-8")
    locked = {_normal(name) for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}
    packages = packages_distributions()
    missing = {
        module
        for module in imported - set(sys.stdlib_module_names) - {"relay"}
        if not {_normal(name) for name in packages.get(module, ())} & locked
    }
    assert not missing, f"add to requirements/run.in, then `make lock`: {sorted(missing)}"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
