"""Runs what others use, in an environment of its own: bench/.venv, made from requirements.txt."""

import fcntl
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench import ROOT

BENCH = ROOT / "bench"
VENV = BENCH / ".venv"
REQUIREMENTS = BENCH / "requirements.txt"


def run_peer(script: str, *arguments: object) -> dict[str, Any]:
    """Run `peers/<script>.py` there; the document that it prints, with `peak_mib` of its process.

    Raises:
        CalledProcessError: It failed; its own words stand on standard error.
    """
    _install()
    begins = (
        "import runpy, sys, json; sys.argv = sys.argv[1:];"
        " runpy.run_path(sys.argv[0], run_name='__main__');"
        " peak = [line.split()[1] for line in open('/proc/self/status') if 'VmHWM' in line];"
        " print('\\n' + peak[0])"
    )
    path = BENCH / "peers" / f"{script}.py"
    done = subprocess.run(
        [VENV / "bin" / "python", "-c", begins, path, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=Path(str(arguments[-1])).parent,
    )
    *_, document, peak = done.stdout.strip().splitlines()
    return {**json.loads(document), "peak_mib": int(peak) / 1024}


def _install() -> None:
    """Make the environment, unless it is there and as the requirements say."""
    mark = VENV / ".done"
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    with (BENCH / ".work" / "venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if mark.exists() and mark.read_text(encoding="utf-8") == wanted:
            return
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
        options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
        subprocess.run(
            [VENV / "bin" / "pip", "install", *options, "-r", REQUIREMENTS],
            check=True,
            stdout=sys.stderr,
        )
        mark.write_text(wanted, encoding="utf-8")
