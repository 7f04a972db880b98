"""The time a plan carries: later than anything its destinations were told before.

CleverTap and Lytics go by the times of rows, to the second, and not by their arrival. Removals
carry the plan's time and additions one second more, so the next plan begins two seconds after.
"""

from datetime import UTC, datetime, timedelta

from relay.settings import Home

_TIME_OF_ID = "%Y%m%dT%H%M%SZ"
_AFTER_ADDITIONS = timedelta(seconds=2)


def earliest_plan_time(home: Home) -> datetime | None:
    """The first second that no plan has used whose ledger tells of anything; None: any will do.

    Plans that were only sealed do not count: the same input, ledger and clock give the same plan.
    """
    times = [
        _time_of(path.stem) for path in home.ledger.glob("*-*.ndjson") if path.stat().st_size > 0
    ]
    used = [time for time in times if time is not None]
    return max(used) + _AFTER_ADDITIONS if used else None


def _time_of(plan_id: str) -> datetime | None:
    try:
        return datetime.strptime(plan_id.split("-")[0], _TIME_OF_ID).replace(tzinfo=UTC)
    except ValueError:
        return None
