"""Whether Amplitude's monthly cohort downloads are enough for the schedule, before they are spent.

One cohort counts once for all its destinations. Asking for the list of cohorts is free, and a
cohort whose `lastComputed` has not moved is not downloaded. A month is forecast as 30 days; what
is used and what is left is counted in the calendar month, UTC.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from duckdb import DuckDBPyConnection

from relay.config import ALL_COHORTS, CohortSync, Config
from relay.errors import BudgetError

DAYS = 30
HOURLY = 24 * DAYS
REAL_TIME = 60 * HOURLY
# A shorter look at how often a cohort is computed says too little about a month.
_LEAST_HISTORY = timedelta(days=7)
_LONGEST_HISTORY = timedelta(days=DAYS)


@dataclass(frozen=True)
class CohortHistory:
    """What is known of a cohort: when Amplitude computed it, and since when that is watched."""

    watched_since: datetime
    computed_at: tuple[datetime, ...]


@dataclass(frozen=True)
class CohortForecast:
    """A cohort's downloads in a month of 30 days.

    Attributes:
        cohort_id: Amplitude's id; `all` while the list is not known yet.
        syncs: Names, in syncs.yml, of the enabled syncs it is downloaded for.
        due_times: How often they are due together.
        moves: How often `lastComputed` moves, once watched for a week; None before.
        downloads: The forecast: `moves` where known, at most `due_times`.
    """

    cohort_id: str
    syncs: tuple[str, ...]
    due_times: int
    moves: int | None
    downloads: int

    @property
    def daily(self) -> int:
        """The downloads of the same cohort with at most one a day."""
        return min(self.downloads, DAYS)


@dataclass(frozen=True)
class Budget:
    """The downloads of a month: allowed, used, forecast, and what to do when they are too many."""

    monthly: int
    used: int
    now: datetime
    resets_at: datetime
    cohorts: tuple[CohortForecast, ...]

    @property
    def left(self) -> int:
        """Downloads left until `resets_at`."""
        return max(0, self.monthly - self.used)

    @property
    def forecast(self) -> int:
        """Downloads in a month of 30 days."""
        return sum(cohort.downloads for cohort in self.cohorts)

    @property
    def still_needed(self) -> int:
        """Downloads that the schedule takes until `resets_at`."""
        days = (self.resets_at - self.now) / timedelta(days=DAYS)
        return math.ceil(self.forecast * min(days, 1.0))

    @property
    def fits(self) -> bool:
        """Whether this month and any other have downloads enough for the schedule."""
        return self.forecast <= self.monthly and self.still_needed <= self.left

    @property
    def spacing(self) -> timedelta | None:
        """The least time between two downloads, of whichever cohorts; None: as they are due.

        Where they are too few, what is left is spread evenly over what is left of the month; with
        nothing left, the wait is for the next one.
        """
        return None if self.fits else (self.resets_at - self.now) / max(1, self.left)

    def next_download_at(self, last_download_at: datetime | None) -> datetime:
        """When the next download may be asked for, after the last one of any cohort."""
        if self.spacing is None or (last_download_at is None and self.left):
            return self.now
        if not self.left:
            return self.resets_at
        return max(self.now, (last_download_at or self.now) + self.spacing)

    @property
    def advice(self) -> str | None:
        """What a person should know and do; None where the schedule fits."""
        if self.spacing is None:
            return None
        pace = f"one every {_duration(self.spacing)}" if self.left else "the next one then"
        numbers = (
            f"{len(self.cohorts)} cohorts need about {self.forecast:,} downloads a month; "
            f"{self.monthly:,} are allowed, {self.used:,} used, {self.left:,} left until "
            f"{self.resets_at:%Y-%m-%d}. They are spaced evenly: {pace}"
        )
        if self.forecast <= self.monthly:
            return f"{numbers}. From then on the schedule fits"
        return f"{numbers}. {self._schedule_that_fits()}"

    @property
    def document(self) -> dict[str, Any]:
        """The budget as JSON: counts of downloads, seconds, ISO times."""
        return {
            "monthly": self.monthly,
            "used": self.used,
            "left": self.left,
            "forecast": self.forecast,
            "fits": self.fits,
            "resets_at": self.resets_at.isoformat(),
            "spacing_seconds": None if self.spacing is None else self.spacing.total_seconds(),
            "advice": self.advice,
            "cohorts": [asdict(cohort) for cohort in self.cohorts],
        }

    def _schedule_that_fits(self) -> str:
        """The fewest syncs to set to daily, those of the most demanding cohorts first."""
        total = self.forecast
        changed: set[str] = set()
        for cohort in sorted(self.cohorts, key=lambda each: each.daily - each.downloads):
            if total <= self.monthly:
                break
            total += cohort.daily - cohort.downloads
            changed.update(cohort.syncs)
        return (
            f"A schedule that fits: frequency: daily, all at one time, for "
            f"{', '.join(sorted(changed))} (about {total:,} a month)"
        )


@dataclass(frozen=True)
class BudgetLook:
    """The budget as `plan` and `status` tell it: its numbers, or why no such schedule can fit."""

    budget: Budget | None
    problem: BudgetError | None = None

    @property
    def advice(self) -> str | None:
        """What a person should know and do; None where the schedule fits."""
        if self.budget is not None:
            return self.budget.advice
        return None if self.problem is None else str(self.problem)

    @property
    def document(self) -> dict[str, Any]:
        """`Budget.document`; where no such schedule can fit, `fits` and `advice` alone."""
        if self.budget is not None:
            return self.budget.document
        return {"fits": False, "advice": self.advice}


def look_at_budget(connection: DuckDBPyConnection, config: Config, *, now: datetime) -> BudgetLook:
    """`read_budget` for whoever only tells of it: a schedule that can never fit is no error."""
    try:
        return BudgetLook(read_budget(connection, config, now=now))
    except BudgetError as error:
        return BudgetLook(None, error)


def make_budget(
    config: Config,
    *,
    now: datetime,
    used: int,
    listed_cohorts: Sequence[str] = (),
    histories: Mapping[str, CohortHistory] | None = None,
    finished: frozenset[str] = frozenset(),
) -> Budget:
    """Forecast a month's cohort downloads.

    Args:
        config: The syncs, and how many downloads a month are allowed.
        now: The clock, aware.
        used: Downloads requested in this calendar month (UTC).
        listed_cohorts: The cohorts that `cohort_id: all` stands for; none known: counted as one.
        histories: What is known of each cohort.
        finished: Names of syncs that have run, as the ledger has them.

    Raises:
        BudgetError: Not even one download a day of each cohort fits. The message has the numbers,
            the syncs, and how many cohorts would fit.
    """
    syncs_of: dict[str, list[CohortSync]] = {}
    for sync in config.cohort_syncs:
        every = sync.cohort_id == ALL_COHORTS
        for cohort_id in (listed_cohorts or (ALL_COHORTS,)) if every else (sync.cohort_id,):
            name = f"{sync.name}-{cohort_id}" if every else sync.name
            if sync.enabled and not (sync.frequency == "one_time" and name in finished):
                syncs_of.setdefault(cohort_id, []).append(sync)
    cohorts = tuple(
        _forecast(cohort_id, syncs, (histories or {}).get(cohort_id), now)
        for cohort_id, syncs in sorted(syncs_of.items())
    )
    monthly = config.amplitude.monthly_cohort_downloads
    budget = Budget(monthly, used, now, _next_month(now), cohorts)
    _refuse_what_never_fits(budget)
    return budget


def read_budget(connection: DuckDBPyConnection, config: Config, *, now: datetime) -> Budget:
    """`make_budget` with what the warehouse knows: the list, the requests, the moves seen.

    Args:
        connection: A warehouse with the raw tables; the analysts' copy will do.
        config: The syncs, and how many downloads a month are allowed.
        now: The clock, aware.

    Raises:
        BudgetError: Not even one download a day of each cohort fits.
    """
    month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    used = connection.execute(
        "select count(*) from raw.cohort_requests where requested_at >= ?",
        [month.replace(tzinfo=None)],
    ).fetchall()[0][0]
    listed = connection.execute(
        # One that is known by a file only has no definition, and nothing to download.
        "select cohort_id from raw.amplitude_cohorts where vanished_at is null"
        " and definition is not null and coalesce(is_published, true)"
        " and not coalesce(is_archived, false)"
    ).fetchall()
    seen = connection.execute(
        "select cohort_id, min(seen_at), list(last_computed) from raw.cohort_computations"
        " group by cohort_id"
    ).fetchall()
    ran = connection.execute("select distinct sync_name from raw.ledger_lines").fetchall()
    return make_budget(
        config,
        now=now,
        used=used,
        listed_cohorts=[cohort_id for (cohort_id,) in listed],
        histories={
            cohort_id: CohortHistory(
                seen_at.replace(tzinfo=UTC), tuple(at.replace(tzinfo=UTC) for at in computed_at)
            )
            for cohort_id, seen_at, computed_at in seen
        },
        finished=frozenset(name for (name,) in ran if name is not None),
    )


def note_computations(connection: DuckDBPyConnection, *, seen_at: datetime) -> int:
    """Remember each `lastComputed` of the cohort list that was not seen before.

    To be called after each reading of the list, which is free, so that the forecast knows how often
    cohorts move even while their downloads are spaced out.

    Returns:
        How many were new.
    """
    return len(
        connection.execute(
            "insert into raw.cohort_computations"
            " select cohort_id, last_computed, ? from raw.amplitude_cohorts as cohorts"
            " where last_computed is not null and vanished_at is null and not exists ("
            "   select 1 from raw.cohort_computations as seen"
            "   where seen.cohort_id = cohorts.cohort_id"
            "     and seen.last_computed = cohorts.last_computed"
            " ) returning cohort_id",
            [seen_at.astimezone(UTC).replace(tzinfo=None)],
        ).fetchall()
    )


def _forecast(
    cohort_id: str, syncs: Sequence[CohortSync], history: CohortHistory | None, now: datetime
) -> CohortForecast:
    due_times = _due_times(syncs)
    moves = None if history is None else _moves(history, now)
    downloads = due_times if moves is None else min(due_times, moves)
    return CohortForecast(
        cohort_id, tuple(sync.name for sync in syncs), due_times, moves, downloads
    )


def _due_times(syncs: Sequence[CohortSync]) -> int:
    """How often in a month any of the syncs is due: what is due together is one download."""
    frequencies = {sync.frequency for sync in syncs}
    if "real_time" in frequencies:
        return REAL_TIME
    if "hourly" in frequencies:
        return HOURLY
    times_of_day = {(sync.at, sync.timezone) for sync in syncs if sync.frequency == "daily"}
    return DAYS * len(times_of_day) or 1


def _moves(history: CohortHistory, now: datetime) -> int | None:
    """How often `lastComputed` moves in a month, by what was seen; None when that is too short."""
    since = max(history.watched_since, now - _LONGEST_HISTORY)
    watched = now - since
    if watched < _LEAST_HISTORY:
        return None
    seen = sum(1 for at in history.computed_at if since < at <= now)
    return max(1, math.ceil(seen * (_LONGEST_HISTORY / watched)))


def _refuse_what_never_fits(budget: Budget) -> None:
    needed = sum(cohort.daily for cohort in budget.cohorts)
    if needed <= budget.monthly:
        return
    names = sorted({name for cohort in budget.cohorts for name in cohort.syncs})
    most = budget.monthly // DAYS
    raise BudgetError(
        f"{len(budget.cohorts)} cohorts need {needed:,} downloads a month even once a day, and "
        f"{budget.monthly:,} are allowed (amplitude.monthly_cohort_downloads). "
        f"Syncs: {', '.join(names)}. A schedule that fits: daily for at most {most} cohorts, "
        "with `enabled: false` or `frequency: one_time` for the others"
    )


def _next_month(now: datetime) -> datetime:
    first = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)


def _duration(span: timedelta) -> str:
    minutes = span.total_seconds() / 60
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"
