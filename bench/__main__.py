"""`python -m bench [CASE …]`: measure, check, and write what came of it."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console
from rich.markup import escape

from bench import ROOT, results
from bench.case import Case, Figure
from bench.cases import NAMES, case_named
from bench.goals import GOALS
from bench.page import reached, write_page

BENCH = ROOT / "bench"
# No step of a case takes this long; one that does has gone wrong.
STEP_SECONDS = 600


class StepError(Exception):
    """A step of a case ended badly; the message is what it said."""


@click.command(help=__doc__)
@click.argument("names", metavar="[CASE]...", nargs=-1)
@click.option("--size", "sizes", type=int, multiple=True, help="Other sizes than the case's own.")
@click.option("--rounds", type=click.IntRange(1), help="How often each side runs.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where results.json is written. Default: bench/, and the table in docs/performance.md.",
)
@click.option("--list", "lists", is_flag=True, help="List the cases and end.")
def main(
    names: Sequence[str], sizes: Sequence[int], rounds: int | None, out: Path | None, lists: bool
) -> None:
    """Run the cases one after another, each step in its own process."""
    console = Console(soft_wrap=True, highlight=False)
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise click.UsageError(f"no case {', '.join(unknown)}; there are {', '.join(NAMES)}")
    if out is None and (sizes or rounds):
        raise click.UsageError("figures of other sizes or rounds are not for bench/: give --out")
    chosen = [case_named(name) for name in names or NAMES]
    if lists:
        for case in chosen:
            console.print(f"{case.name:<12} {case.what} ({', '.join(map(str, case.sizes))})")
        return
    began = time.monotonic()
    measured: dict[str, Sequence[Figure] | None] = {}
    (BENCH / ".work").mkdir(exist_ok=True)
    with TemporaryDirectory(dir=BENCH / ".work") as work:
        for case in chosen:
            measured[case.name] = _run_case(
                case, sizes or case.sizes, rounds or case.rounds, console, Path(work)
            )
    document = results.write(out or BENCH, measured)
    if out is None:
        write_page(ROOT / "docs" / "performance.md", document)
    console.print(f"\n{time.monotonic() - began:.0f} s; {out or BENCH}/results.json")
    if None in measured.values():
        sys.exit(1)


def _run_case(
    case: Case, sizes: Sequence[int], rounds: int, console: Console, work: Path
) -> list[Figure] | None:
    """The figures of all sizes, or None where a step failed or a result was wrong."""
    figures: list[Figure] = []
    for size in sizes:
        began = time.monotonic()
        try:
            found = _measure(case, size, rounds, work)
        except StepError as error:
            console.print(f"[red]{case.name} {size:,}: failed[/red]\n{escape(str(error))}")
            return None
        figures += found
        for figure in found:
            console.print(_line(figure))
        console.print(f"  [dim]{case.name} {size:,}: {time.monotonic() - began:.0f} s[/dim]")
    return figures


def _measure(case: Case, size: int, rounds: int, work: Path) -> list[Figure]:
    """Each step in its own process; the cases of one run share what they compile beside."""
    with TemporaryDirectory(prefix=f"{case.name}-", dir=work) as place:
        folder = Path(place)
        _step(case, "prepare", size, rounds, folder)
        figures, peak = _step(case, "measure", size, rounds, folder)
        if case.alone is not None:
            _, peak = _step(case, "alone", size, rounds, folder)
        figures = [
            figure if figure.peak_mib is not None else replace(figure, peak_mib=peak)
            for figure in figures
        ]
        if case.peak_goal is not None:
            figures.append(
                replace(figures[0], name=case.peak_goal, value=peak, low=None, high=None)
            )
    return figures


def _step(
    case: Case, step: str, size: int, rounds: int, folder: Path
) -> tuple[list[Figure], float]:
    """Run one step in its own process; its figures and its peak of memory."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "bench.child", case.name, step, str(size), str(rounds), folder],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=STEP_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StepError(f"{step} did not end within {STEP_SECONDS} s") from None
    if done.returncode != 0:
        raise StepError(
            f"{step} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}"
        )
    answer = json.loads((folder / f"{step}.json").read_text(encoding="utf-8"))
    return [Figure(**figure) for figure in answer["figures"]], float(answer["peak_mib"])


def _line(figure: Figure) -> str:
    goal = GOALS.get(figure.name)
    unit = goal.unit if goal else figure.unit
    spread = f" ({figure.low:.3g} to {figure.high:.3g})" if figure.low and figure.high else ""
    verdict = f"  {reached(goal, figure.value).strip('*')}" if goal else ""
    peak = "" if figure.peak_mib is None else f", {figure.peak_mib:,.0f} MiB"
    return (
        f"{figure.name} {figure.size:,}: {figure.value:,.4g} {unit}{spread}{verdict}"
        f"  [{figure.cpu_seconds:.2f} CPU s{peak}] {figure.against}"
    ).replace("[", r"\[")


if __name__ == "__main__":
    main()
