"""How fast and how often: what a vendor allows, and what we do when it does not answer.

The vendors' numbers are data, in `seeds/vendors/request_limits.csv`; how we wait is ours.
"""

import csv
from dataclasses import dataclass, replace
from pathlib import Path

from relay.errors import ConfigurationError
from relay.http import RetryPolicy

SEED = Path("seeds/vendors/request_limits.csv")


_USUAL_WAITS = RetryPolicy(wait_initial=1.0, wait_max=60.0)


@dataclass(frozen=True)
class Limits:
    """What holds for one way to one destination.

    Attributes:
        concurrency: Requests in flight.
        requests_per_minute: None where the vendor names none.
        attempts: Tries of a request, the first counted, before it is left pending or unknown.
        retries: How long is waited between them.
        failures_in_a_row: So many requests without a usable answer stop the destination.
    """

    concurrency: int
    requests_per_minute: int | None = None
    attempts: int = 8
    retries: RetryPolicy = _USUAL_WAITS
    failures_in_a_row: int = 8


# How we wait, by destination and delivery; what is not here has the defaults.
ONE_AT_A_TIME = Limits(concurrency=1)
_HABITS = {
    # Each request without an answer is a thousand events that a person has to decide on.
    ("clevertap", "events"): replace(ONE_AT_A_TIME, failures_in_a_row=3),
    ("lytics", "events"): replace(ONE_AT_A_TIME, failures_in_a_row=3),
    # Data API: every 2 s at most five times, or an exponential wait.
    ("moengage", "members"): replace(
        ONE_AT_A_TIME, attempts=6, retries=RetryPolicy(wait_initial=2.0, wait_max=60.0)
    ),
    # As Amplitude's own SDKs: twelve tries, soon.
    ("amplitude", "events"): replace(
        ONE_AT_A_TIME,
        attempts=12,
        failures_in_a_row=12,
        retries=RetryPolicy(wait_initial=0.2, wait_max=30.0),
    ),
    ("amplitude", "identify"): replace(ONE_AT_A_TIME, attempts=12, failures_in_a_row=12),
}


def read_limits(project_root: Path) -> dict[tuple[str, str], Limits]:
    """The limits by destination and delivery, from the project's seed.

    Raises:
        ConfigurationError: The seed cannot be read, or a number in it is none.
    """
    path = project_root / SEED
    limits = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for number, row in enumerate(csv.DictReader(file), start=2):
                way = row["destination"], row["delivery"]
                per_minute = row["requests_per_minute"]
                try:
                    limits[way] = replace(
                        _HABITS.get(way, ONE_AT_A_TIME),
                        concurrency=_above_zero(row["concurrency"]),
                        requests_per_minute=_above_zero(per_minute) if per_minute else None,
                    )
                except ValueError as error:
                    raise ConfigurationError(f"{path}, line {number}: {error}") from error
    except (OSError, KeyError, csv.Error) as error:
        raise ConfigurationError(
            f"{path}: expected a CSV with destination, delivery, concurrency and "
            f"requests_per_minute ({error!r})"
        ) from error
    return limits


def _above_zero(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1:
        raise ValueError(f"{text!r}: expected a whole number above 0")
    return number
