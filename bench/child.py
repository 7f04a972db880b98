"""One step of one case, in a process of its own.

`python -m bench.child CASE STEP SIZE ROUNDS FOLDER` writes `<step>.json` into the
folder: the figures, and the peak of this process.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench.cases import case_named
from bench.measuring import peak_mib


def main(arguments: Sequence[str]) -> None:
    """Run the step; what goes wrong is a traceback, which the runner shows."""
    name, step, size, rounds, place = arguments
    case, folder = case_named(name), Path(place)
    figures = []
    if step == "prepare":
        case.prepare(folder, int(size))
    elif step == "alone" and case.alone is not None:
        case.alone(folder, int(size))
    else:
        figures = case.measure(folder, int(size), int(rounds))
    answer = {"figures": [asdict(figure) for figure in figures], "peak_mib": peak_mib()}
    (folder / f"{step}.json").write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
