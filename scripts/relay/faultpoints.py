"""Named moments around every durable write, where a test can have the process killed.

`RELAY_FAULT_AT=landing.renamed:3` kills this process with SIGKILL the third time it gets to that
point; `RELAY_FAULT_LOG=file` appends each name that was reached, so that a test can list them.
Without either variable a point costs one dictionary look-up.
"""

import os
import signal
from collections import Counter
from pathlib import Path

_reached: Counter[str] = Counter()


def reach(name: str) -> None:
    """Say that the process is at the point `name`; it may not come back."""
    wanted = os.environ.get("RELAY_FAULT_AT")
    log = os.environ.get("RELAY_FAULT_LOG")
    if wanted is None and log is None:
        return
    _reached[name] += 1
    if log is not None:
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(name + "\n")
    if wanted == f"{name}:{_reached[name]}":
        os.kill(os.getpid(), signal.SIGKILL)
