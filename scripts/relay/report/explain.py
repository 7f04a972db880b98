"""Everything known of one person: who, why, where a member, under which keys, what was sent."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from duckdb import DuckDBPyConnection

from relay import warehouse
from relay.report.find_person import Person, find_person

_PERSON = """
select
    person_id, anchor, primary_user_id, canonical_amplitude_id, is_suppressed, flags,
    first_seen_at, last_seen_at
from identity.persons
where anchor_key = $anchor_key
"""
_IDS = """
select id_type, id_value, namespace, first_seen_at, last_seen_at
from identity.person_ids
where anchor_key = $anchor_key
order by id_type, try_cast(id_value as bigint), id_value
"""
_FORMER_IDS = """
select log.person_id
from identity.person_log as log
where
    log.person_id in (
        select 'p_' || replace(cast(identifier_key as varchar), '-', '')
        from identity.identifiers
        where anchor_key = $anchor_key and identifier_key != anchor_key
    )
order by log.person_id
"""
# A device is an attribute: whose membership it may carry is another question (ID-16).
_DEVICES = """
select
    sightings.device_id,
    sum(sightings.row_count) as rows_count,
    min(sightings.first_seen_at) as first_seen_at,
    max(sightings.last_seen_at) as last_seen_at,
    case
        when any_value(devices.is_shared) then 'device_shared'
        when any_value(owners.anchor_key) != $anchor_key then 'device_owned_by_other'
    end as withheld
from identity.sightings_to_date as sightings
inner join identity.identifiers as identifiers
    on sightings.identifier_key = identifiers.identifier_key
inner join identity.devices as devices
    on sightings.device_key = devices.device_key
left join identity.identifiers as owners
    on devices.owner_key = owners.identifier_key
where identifiers.anchor_key = $anchor_key
group by sightings.device_id
order by last_seen_at desc nulls last, sightings.device_id
"""
_LINKS = """
select
    link_class, left_id_type, left_id_value, right_id_type, right_id_value, decision, reason,
    source, row_count, first_row, device_id, known_row, first_seen_at, last_seen_at
from identity.links
where
    left_key in (select identifier_key from identity.identifiers where anchor_key = $anchor_key)
    or right_key in (select identifier_key from identity.identifiers where anchor_key = $anchor_key)
order by
    decision != 'followed', link_class, left_id_type, try_cast(left_id_value as bigint),
    left_id_value, right_id_value
"""
_PATH = """
select * from identity.path($from_identifier, $to_identifier)
order by step
"""
_MEMBERSHIPS = """
select memberships.cohort_id, snapshots.cohort_name, memberships.valid_from, memberships.valid_to
from cohorts.memberships as memberships
left join staging.stg_amplitude__cohort_snapshots as snapshots
    on memberships.cohort_id = snapshots.cohort_id and snapshots.is_newest
where memberships.person_id = $person_id
order by memberships.cohort_id, memberships.valid_from
"""
_KEYS = """
select
    sync_name, destination, cohort_id, status, detail, key_type, key_value, match_key, matched_on,
    effect
from identity.keys
where person_id = $person_id
order by sync_name
"""
# Rows are found by the anchors stored with them: ids of persons change, identifiers do not.
_DELIVERIES = """
select
    plan_id, sync_name, destination, cohort_id, key_type, key_value, action, outcome, reason,
    attempted_at, confirmed_at
from reports.deliveries
where
    list_has_any(
        anchors,
        (
            select list(id_type || ':' || namespace || ':' || id_value)
            from identity.identifiers
            where anchor_key = $anchor_key
        )
    )
order by planned_at, plan_id, sync_name, change_id
"""


def explain(connection: DuckDBPyConnection, text: str, other: str | None = None) -> dict[str, Any]:
    """Everything that is known of the person an identifier means.

    Args:
        connection: The analysts' copy, open for reading.
        text: The identifier, as `find_person` takes it.
        other: A second identifier, to be told why the two are one person, or not.

    Returns:
        `person_id`, `anchor`, `primary_user_id`, `canonical_amplitude_id`, `is_suppressed`, `flags`
        and times of the person; `former_person_ids`; `ids`, `devices`, `links` (followed ones
        first), `memberships`, `keys` (a member without one has the reason as `detail`) and
        `deliveries` (oldest first); with `other` also `path`: `is_one_person` and its `steps`, or
        between two persons the links that were refused. Times in ISO 8601, UTC.

    Raises:
        NotFoundError: Nobody is known by an identifier.
        ConfigurationError: An identifier means several persons.
    """
    person = find_person(connection, text)
    document = _rows(connection, _PERSON, person)[0]
    document["former_person_ids"] = [
        row["person_id"] for row in _rows(connection, _FORMER_IDS, person)
    ]
    for name, query in (
        ("ids", _IDS),
        ("devices", _DEVICES),
        ("links", _LINKS),
        ("memberships", _MEMBERSHIPS),
        ("keys", _KEYS),
        ("deliveries", _DELIVERIES),
    ):
        document[name] = _rows(connection, query, person)
    if other is not None:
        document["path"] = _path(connection, person, text, other)
    return document


def _path(connection: DuckDBPyConnection, person: Person, text: str, other: str) -> dict[str, Any]:
    other_person = find_person(connection, other)
    ends = {
        "from_identifier": _identifier(connection, person, text),
        "to_identifier": _identifier(connection, other_person, other),
    }
    return {
        **ends,
        "is_one_person": person == other_person,
        "steps": _fetch(connection, _PATH, ends),
    }


def _identifier(connection: DuckDBPyConnection, person: Person, text: str) -> str:
    """The identifier of the person that was asked for; its anchor where it was named otherwise."""
    row = connection.execute(
        "select id_type || ':' || namespace || ':' || id_value as identifier"
        " from identity.identifiers where anchor_key = $anchor_key"
        " and ($text in (id_value, id_type || ':' || id_value, identifier,"
        " id_type || ':{' || namespace || '}' || id_value)) order by identifier limit 1",
        {"anchor_key": person.anchor_key, "text": text.strip()},
    ).fetchone()
    return person.anchor if row is None else str(row[0])


def _rows(connection: DuckDBPyConnection, query: str, person: Person) -> list[dict[str, Any]]:
    given = {"anchor_key": person.anchor_key, "person_id": person.person_id}
    return _fetch(connection, query, {key: given[key] for key in given if f"${key}" in query})


def _fetch(
    connection: DuckDBPyConnection, query: str, parameters: Mapping[str, Any]
) -> list[dict[str, Any]]:
    rows = warehouse.fetch(connection, query, dict(parameters))
    return [{name: _shown(value) for name, value in row.items()} for row in rows]


def _shown(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat() + "Z"
    return value.isoformat() if isinstance(value, date) else value
