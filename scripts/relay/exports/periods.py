"""The named periods of an export or a list: days of a calendar, first and last inclusive."""

from datetime import date, timedelta

PERIODS = ("today", "yesterday", "current_month", "previous_month")


def days_of(period: str, today: date) -> tuple[date, date]:
    """The first and the last day of a period; that of the current month is today.

    Args:
        period: One of `PERIODS`.
        today: In the zone whose days are meant.
    """
    first_of_month = today.replace(day=1)
    before = first_of_month - timedelta(days=1)
    periods = {
        "today": (today, today),
        "yesterday": (today - timedelta(days=1), today - timedelta(days=1)),
        "current_month": (first_of_month, today),
        "previous_month": (before.replace(day=1), before),
    }
    return periods[period]
