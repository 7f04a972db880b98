"""How fast, and against what: `python -m bench [CASE …]`, or `make bench`.

Each case makes seeded data, runs our side and a yardstick in turn, compares what came out with the
truth, and only then tells the ratio. See docs/performance.md for what came of it.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

# The product, and what the tests have made for themselves: sinks, worlds, compiled models.
for _folder in (ROOT / "tests" / "python", ROOT / "scripts"):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))
