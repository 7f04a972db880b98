"""What is to be reached: one goal a row of the table in docs/performance.md."""

from dataclasses import dataclass
from typing import Literal

Direction = Literal["min", "max"]


@dataclass(frozen=True)
class Goal:
    """A figure with what it must reach (`floor`) and what it is to reach (`goal`).

    `direction` is what is done to the figure: `min`, the smaller the better, so the floor is the
    most it may be; `max`, the larger the better. `unit` is empty for a ratio.
    """

    name: str
    what: str
    direction: Direction
    floor: float
    goal: float
    unit: str = ""

    def reaches(self, value: float, mark: float) -> bool:
        """Whether a value is at least as good as a mark, such as the floor."""
        return value <= mark if self.direction == "min" else value >= mark


_GOALS = (
    Goal(
        "event_loader",
        "whole event loader (unzip, land, load, dedupe, calendar, commit), events per CPU second,"
        " against a bare typed `create table as` over the same members",
        "max",
        0.80,
        0.90,
    ),
    Goal(
        "event_loader_dlt",
        "event loader, events per CPU second, against dlt tuned as well as it can be",
        "max",
        12,
        20,
    ),
    Goal(
        "event_loader_target_duckdb",
        "event loader, events per CPU second, against Singer's target-duckdb",
        "max",
        12,
        20,
    ),
    Goal(
        "hourly_load_history",
        "an hourly load onto the long history against the same onto a tenth of it",
        "min",
        1.3,
        1.1,
    ),
    Goal(
        "load_peak_memory",
        "peak memory of a load, whatever the day's size",
        "min",
        1024,
        512,
        "MiB",
    ),
    Goal(
        "identity",
        "identity from cleaned candidate links to persons, against scipy's connected components"
        " on the same links, both from and to DuckDB",
        "min",
        1.5,
        1.0,
    ),
    Goal(
        "identity_new_links",
        "identity, 10,000 new links on what is resolved already, against a full rebuild",
        "min",
        1 / 25,
        1 / 50,
    ),
    Goal(
        "identity_chain",
        "a chain of links in path order: seconds more than a star of as many",
        "min",
        1.0,
        0.0,
        "s",
    ),
    Goal(
        "diff_five_destinations",
        "diff of a snapshot, a hundredth of it moved, for five destinations, against one full outer"
        " join",
        "min",
        1.5,
        1.2,
    ),
    Goal(
        "diff_each_destination",
        "finding what differs: what each further destination adds, against that join",
        "min",
        0.05,
        0.04,
    ),
    Goal(
        "diff_all_keys",
        "the same diff where every key was made anew, so that all are compared",
        "min",
        1.5,
        1.2,
    ),
    Goal(
        "diff_history",
        "the same diff after 200 past snapshots and plans, against after 10",
        "min",
        1.1,
        1.0,
    ),
    Goal("diff_few", "200 people of all move, against a diff of all keys", "min", 0.15, 0.15),
    Goal("diff_unchanged", "an unchanged cohort, against a diff of all keys", "min", 0.10, 0.05),
    Goal(
        "lytics_profiles",
        "Lytics profiles after new events (one on 800, as 10,000 on 8 M), against a full rebuild",
        "min",
        1 / 10,
        1 / 50,
    ),
    Goal(
        "sealing",
        "sealing changes into request files, against a flat `copy … to` of the same rows",
        "max",
        0.5,
        0.7,
    ),
    Goal("sealing_peak_memory", "peak memory of sealing, at any size", "min", 400, 400, "MiB"),
    Goal(
        "upload",
        "upload client into a counting sink on loopback, retry and rate limiter on",
        "max",
        100_000,
        200_000,
        "records/s",
    ),
    Goal(
        "resident_nothing_new",
        "a second `relay sync` in one resident process with nothing new (wall)",
        "min",
        1.0,
        0.2,
        "s",
    ),
    Goal(
        "resident_few_changed",
        "`relay sync` in one resident process with 200 changed members (wall)",
        "min",
        5.0,
        2.0,
        "s",
    ),
    Goal(
        "dbt_build_no_new_hours",
        "`dbt build` with no new hours, against `dbt build` on an empty project",
        "min",
        1.5,
        1.2,
    ),
)

GOALS: dict[str, Goal] = {goal.name: goal for goal in _GOALS}
