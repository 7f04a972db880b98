"""Which properties a cohort is downloaded with: what the syncs and the mappings read, no more."""

import csv
from pathlib import Path

from relay.config import ALL_COHORTS
from relay.errors import InputFileError
from relay.settings import Settings

# What the importer adds to a cohort's rows; no property of anybody.
_NO_PROPERTIES = {
    "amplitude_id",
    "user_id",
    "device_id",
    "cohort_id",
    "cohort_name",
    "cohort_membership",
    "last_computed",
}


def properties_for(settings: Settings, cohort_id: str) -> list[str]:
    """The properties a cohort is downloaded with, by name.

    These are what any enabled sync names in `user_id_from` and `anonymous_id_from`, and, for a
    cohort that goes to Lytics, the source fields of Lytics' field map (vendor page of Lytics:
    Amplitude, Import Cohorts).
    """
    enabled = [sync for sync in settings.config.cohort_syncs if sync.enabled]
    names = {name for sync in enabled for name in (*sync.user_id_from, *sync.anonymous_id_from)}
    if any(
        sync.destination == "lytics" and sync.cohort_id in {ALL_COHORTS, cohort_id}
        for sync in enabled
    ):
        names |= _mapped_fields(settings.project_root)
    return sorted(names - _NO_PROPERTIES)


def _mapped_fields(project_root: Path) -> set[str]:
    path = project_root / "seeds" / "mappings" / "lytics_field_map.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            expressions = [
                row["source_expression"]
                for row in csv.DictReader(file)
                if row["stream"] == "amplitude_cohorts" and row["is_active"] == "true"
            ]
    except (OSError, KeyError) as error:
        raise InputFileError(path, f"cannot be read as Lytics' field map: {error}") from None
    # What is computed, such as `map(cohort_id, cohort_membership)`, is no column of the file.
    return {expression for expression in expressions if "(" not in expression}
