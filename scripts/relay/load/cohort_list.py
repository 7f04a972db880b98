"""Amplitude's list of cohorts: what there is, when each was computed last, what has vanished."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from duckdb import DuckDBPyConnection

from relay.errors import VendorError
from relay.load.amplitude_api import AmplitudeApi
from relay.plan.budget import note_computations
from relay.warehouse import transaction

LIST = "/api/3/cohorts"


@dataclass(frozen=True)
class ListedCohort:
    """One cohort of the list.

    Attributes:
        cohort_id: Amplitude's id.
        name: As it is called now.
        app_id: The project.
        size: Members, as Amplitude counts them; None while it was never computed.
        computed_at: `lastComputed`, UTC; None while it was never computed.
        is_archived: Listed, but put away.
        counts: What its members are: `User`, or a kind of group.
        entry: The whole entry.
    """

    cohort_id: str
    name: str
    app_id: int | None
    size: int | None
    computed_at: datetime | None
    is_archived: bool
    counts: str
    entry: Mapping[str, Any]


def ask_for_list(api: AmplitudeApi) -> dict[str, ListedCohort]:
    """The published cohorts by id; asking costs nothing of the budget.

    Raises:
        VendorError: The answer is no such list. Others as in `AmplitudeApi.call`.

    Source:
        Amplitude, Behavioral Cohorts API: get all cohorts. Times are epoch seconds.
    """
    _, document = api.document(LIST)
    try:
        entries = document["cohorts"]
        return {cohort.cohort_id: cohort for cohort in map(_cohort, entries)}
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise VendorError(
            f"{LIST}: expected a list of cohorts with id, name, size and lastComputed;"
            f" {type(error).__name__} while reading it"
        ) from None


def keep_list(
    connection: DuckDBPyConnection, cohorts: Mapping[str, ListedCohort], now: datetime
) -> None:
    """Bring `raw.amplitude_cohorts` up to the list, in one transaction.

    A row changes only where something about the cohort did; one that is listed no more gets
    `vanished_at`, and loses it when it is back.
    """
    columns = [_row(cohort) for cohort in cohorts.values()]
    with transaction(connection):
        connection.execute(
            "create or replace temp table listed as"
            " select * exclude (listed_at, vanished_at) from raw.amplitude_cohorts limit 0"
        )
        if columns:
            connection.executemany(
                f"insert into listed values ({', '.join('?' * len(columns[0]))})", columns
            )
        own = {"now": now.astimezone(UTC).replace(tzinfo=None)}
        connection.execute(_FORGET_CHANGED)
        connection.execute(_ADD_MISSING, own)
        connection.execute(_NOTE_VANISHED, own)
        note_computations(connection, seen_at=now)


# Rows that are as listed stay as they are, and so does the time they were listed so.
_FORGET_CHANGED = """
    delete from raw.amplitude_cohorts
    where cohort_id in (select cohort_id from listed)
        and (
            vanished_at is not null
            or cohort_id in (
                select cohort_id
                from (
                    select * exclude (listed_at, vanished_at) from raw.amplitude_cohorts
                    except
                    from listed
                )
            )
        )
"""
_ADD_MISSING = """
    insert into raw.amplitude_cohorts by name
    select *, $now as listed_at, null::timestamp as vanished_at
    from listed
    anti join raw.amplitude_cohorts using (cohort_id)
    order by cohort_id
"""
_NOTE_VANISHED = """
    update raw.amplitude_cohorts
    set vanished_at = $now
    where vanished_at is null and cohort_id not in (select cohort_id from listed)
"""


def _cohort(entry: Mapping[str, Any]) -> ListedCohort:
    definition = entry.get("definition")
    group = definition.get("countGroup") if isinstance(definition, dict) else None
    computed = entry.get("lastComputed")
    size = entry.get("size")
    app_id = entry.get("appId")
    return ListedCohort(
        cohort_id=str(entry["id"]),
        name=str(entry["name"]),
        app_id=None if app_id is None else int(app_id),
        size=None if size is None else int(size),
        computed_at=None if computed is None else datetime.fromtimestamp(int(computed), UTC),
        is_archived=bool(entry.get("archived", False)),
        counts=str(group.get("name", "User")) if isinstance(group, dict) else "User",
        entry=entry,
    )


def _row(cohort: ListedCohort) -> list[Any]:
    """The columns of `raw.amplitude_cohorts`, but for when it was listed."""
    entry = cohort.entry
    return [
        cohort.cohort_id,
        cohort.name,
        cohort.app_id,
        entry.get("description"),
        cohort.size,
        _naive(cohort.computed_at),
        _moment(entry.get("lastMod")),
        _moment(entry.get("createdAt")),
        bool(entry.get("published", True)),
        cohort.is_archived,
        bool(entry.get("finished", cohort.computed_at is not None)),
        json.dumps(entry.get("definition"), sort_keys=True, ensure_ascii=False),
    ]


def _moment(seconds: Any) -> datetime | None:
    return None if seconds is None else _naive(datetime.fromtimestamp(int(seconds), UTC))


def _naive(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=None)
