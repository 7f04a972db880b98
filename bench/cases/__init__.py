"""The cases, each a module of its name with one `CASE`. One is imported when it is asked for."""

from importlib import import_module

from bench.case import Case

# In the order in which they run.
NAMES = (
    "loader",
    "loader_peers",
    "hourly",
    "identity",
    "identity_growth",
    "diff",
    "profiles",
    "sealing",
    "upload",
    "resident",
    "rehearsal",
)


def case_named(name: str) -> Case:
    """The case of a name of `NAMES`."""
    case = import_module(f"bench.cases.{name}").CASE
    if not isinstance(case, Case):
        raise TypeError(f"bench/cases/{name}.py: CASE is no Case")
    return case
