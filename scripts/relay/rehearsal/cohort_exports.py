"""What Amplitude lists and exports of a cohort.

Source: the recorded answer of the cohort list and the documented cohort file.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from relay.rehearsal.amplitude_ids import AmplitudeIds
from relay.rehearsal.archives import cohort_csv
from relay.rehearsal.script import Cohort, Member


@dataclass(frozen=True, slots=True)
class CohortAtStep:
    """What Amplitude has of one cohort at a step.

    Attributes:
        cohort_id: Its id.
        name: Its name.
        computed_at: `lastComputed`, UTC to the second; None while it was never computed.
        listing: The entry of `GET /api/3/cohorts`; times in it are epoch seconds.
        rows: (amplitude_id, user_id) as text, in the file's order; user_id empty if anonymous.
    """

    cohort_id: str
    name: str
    computed_at: datetime | None
    listing: dict[str, Any]
    rows: tuple[tuple[str, str], ...]

    @property
    def csv(self) -> bytes:
        """The file of a finished download request."""
        return cohort_csv(self.rows, ("amplitude_id", "user_id"))


def member_rows(members: Iterable[Member], ids: AmplitudeIds) -> Iterator[tuple[str, str]]:
    """(amplitude_id, user_id) of each row, in order; the user id is empty for an anonymous id.

    Raises:
        ValueError: A row is about somebody Amplitude has not heard of.
    """
    for member in members:
        if member.user_id is not None:
            amplitude_id = ids.of_user.get(member.user_id)
        else:
            amplitude_id = ids.first_of_device.get(member.device_id or "")
        if amplitude_id is None:
            raise ValueError(f"{member}: Amplitude has not seen that user or device yet")
        yield str(amplitude_id), ids.user_of.get(amplitude_id, "")


def listing(
    cohort: Cohort, project: int, computed_at: datetime | None, size: int
) -> dict[str, Any]:
    """An entry of the cohort list: the keys of a recorded answer, in its order."""
    created = int(datetime(2026, 1, 5, 9, 30, tzinfo=UTC).timestamp()) + len(cohort.name)
    is_computed = computed_at is not None
    return {
        "appId": project,
        "archived": cohort.is_archived,
        "definition": {
            "version": 3,
            "countGroup": {"name": "User", "is_computed": False},
            "cohortType": "UNIQUES",
            "andClauses": [],
            "referenceFrameTimeParams": {},
        },
        "description": cohort.description,
        "finished": is_computed,
        "id": cohort.cohort_id,
        "name": cohort.name,
        "published": True,
        "type": "redshift",
        "lastMod": created,
        "createdAt": created,
        "lastComputed": int(computed_at.timestamp()) if computed_at else None,
        "hidden": False,
        "metadata": None,
        "view_count": None,
        "popularity": None,
        "last_viewed": None,
        "chart_id": None,
        "edit_id": None,
        "is_predictive": False,
        "is_official_content": False,
        "location_id": None,
        "shortcut_ids": [],
        "per_app_metadata": None,
        "cohort_definition_type": None,
        "cohort_output_type": "UNIQUES",
        "is_generated_content": False,
        "owners": ["analyst@shop.example"],
        "viewers": [],
        "size": size if is_computed else None,
    }
