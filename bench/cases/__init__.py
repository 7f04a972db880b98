"""The cases by name, in the order in which they run."""

from bench.case import Case
from bench.cases import sealing, upload

CASES: dict[str, Case] = {case.name: case for case in (sealing.CASE, upload.CASE)}
