"""Which person an identifier means, whatever kind of identifier it is."""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from uuid import UUID

from duckdb import DuckDBPyConnection

from relay.errors import ConfigurationError, NotFoundError

_TYPED = re.compile(r"(amplitude_id|user_id|device_id):(?:\{([^{}]*)\})?(.+)", re.DOTALL)
_PERSON_ID = re.compile(r"p_[0-9a-f]{32}")
_SHOWN = 5

# A device or a key may be many persons', so they are asked for after what is one person's.
_IDENTIFIERS = """
select id_type, namespace, id_value, anchor_key
from identity.identifiers
where
    anchor_key is not null
    and (
        identifier_key = $key
        or id_value = $text
        or (
            id_type = $id_type
            and id_value = $value
            and namespace = coalesce($namespace, namespace)
        )
    )
"""
_DEVICES = """
select distinct
    'device_id' as id_type, sightings.namespace, sightings.device_id, identifiers.anchor_key
from identity.attributed_sightings as sightings
inner join identity.identifiers as identifiers
    on sightings.identifier_key = identifiers.identifier_key
where
    identifiers.anchor_key is not null
    and not sightings.is_device_junk
    and (
        sightings.device_id = $text
        or (
            $id_type = 'device_id'
            and sightings.device_id = $value
            and sightings.namespace = coalesce($namespace, sightings.namespace)
        )
    )
"""
_KEYS = """
select distinct key_type, destination, key_value, anchor_key
from identity.keys
where status = 'ok' and (key_value = $text or match_key = $text)
"""


@dataclass(frozen=True)
class Person:
    """A person as found.

    Attributes:
        person_id: The id of today.
        anchor: The identifier that names the person, such as `amplitude_id:default:812`.
        anchor_key: The same as 128 bits, as identity's tables join on it.
    """

    person_id: str
    anchor: str
    anchor_key: UUID


def find_person(connection: DuckDBPyConnection, text: str) -> Person:
    """The one person that an identifier means.

    Args:
        connection: The analysts' copy, open for reading.
        text: A user id, amplitude id, device id or person id, also one of former times; a key of a
            destination; with its type where it might be another's: `user_id:Ann`, in one namespace
            `user_id:{partner_org}Ann`, or `user_id:default:Ann` as tables have it. Cleaned like
            every identifier.

    Raises:
        NotFoundError: Nobody is known by it; the message says why, where that is known.
        ConfigurationError: Several persons are meant; the message names them.

    Source:
        reference identity rules, ID-3, ID-10, ID-13.
    """
    text = unicodedata.normalize("NFC", text).strip()
    if _PERSON_ID.fullmatch(text):
        return _of_person_id(connection, text)
    typed = _TYPED.fullmatch(text)
    parameters = {
        "key": UUID(hashlib.sha256(text.encode()).hexdigest()[:32]),
        "text": text,
        "id_type": typed and typed[1],
        "namespace": typed and typed[2],
        "value": typed and typed[3],
    }
    for query in (_IDENTIFIERS, _DEVICES, _KEYS):
        names = set(re.findall(r"\$(\w+)", query))
        given = {name: value for name, value in parameters.items() if name in names}
        matches = connection.execute(f"{query} order by all", given).fetchall()
        anchor_keys = {match[3] for match in matches}
        if len(anchor_keys) == 1:
            return _of_anchor(connection, anchor_keys.pop())
        if anchor_keys:
            raise _ambiguous(connection, text, matches)
    raise _unknown(connection, typed[3] if typed else text, text)


def _of_person_id(connection: DuckDBPyConnection, person_id: str) -> Person:
    """By the log: a former id means the person that now holds the anchor it was made of."""
    row = connection.execute(
        "select log.anchor, identifiers.anchor_key from identity.person_log as log"
        " left join identity.identifiers as identifiers on identifiers.identifier_key = $key"
        " where log.person_id = $id",
        {"key": UUID(person_id.removeprefix("p_")), "id": person_id},
    ).fetchone()
    if row is None:
        raise NotFoundError(f"no person ever had the id {person_id}")
    anchor, anchor_key = row
    if anchor_key is None:
        raise NotFoundError(
            f"{person_id} was the person of {anchor}, which names nobody any more: it is junk or "
            "contaminated now, or its rows were forgotten"
        )
    return _of_anchor(connection, anchor_key)


def _of_anchor(connection: DuckDBPyConnection, anchor_key: UUID) -> Person:
    row = connection.execute(
        "select person_id, anchor from identity.resolved_persons where anchor_key = ?", [anchor_key]
    ).fetchone()
    if row is None:
        raise NotFoundError("identity was not built to its end; run `relay build` and ask again")
    return Person(row[0], row[1], anchor_key)


def _ambiguous(
    connection: DuckDBPyConnection, text: str, matches: list[tuple[str, str, str, UUID]]
) -> ConfigurationError:
    persons: dict[UUID, list[str]] = {}
    for kind, place, value, anchor_key in matches:
        persons.setdefault(anchor_key, []).append(f"{kind} {value} ({place})")
    shown = [
        f"{_of_anchor(connection, anchor_key).person_id}: {', '.join(seen)}"
        for anchor_key, seen in list(persons.items())[:_SHOWN]
    ]
    if len(persons) > _SHOWN:
        shown.append(f"and {len(persons) - _SHOWN} more")
    return ConfigurationError(
        f"{text!r} is known of {len(persons)} persons; ask for one of them by person id, or with a "
        "type, such as user_id:" + text + "\n  " + "\n  ".join(shown)
    )


def _unknown(connection: DuckDBPyConnection, value: str, text: str) -> NotFoundError:
    """Why nobody is known by the value: a placeholder, shared by strangers, or never loaded."""
    junk = connection.execute(
        "select id_type, sum(rows_count) from identity.junk_values where id_value = ?"
        " group by id_type order by id_type",
        [value],
    ).fetchone()
    if junk is not None:
        return NotFoundError(
            f"{value!r} is a placeholder (junk_ids): it stands as {junk[0]} in {junk[1]} rows and "
            "names nobody"
        )
    contaminated = connection.execute(
        "select devices_count, junk_user_id from identity.contaminated_ids"
        " where cast(amplitude_id as varchar) = ?",
        [value],
    ).fetchone()
    if contaminated is not None:
        return NotFoundError(
            f"amplitude id {value} is shared by strangers on {contaminated[0]} devices, who were "
            f"sent as user {contaminated[1]!r}; each of the devices is a person of its own"
        )
    return NotFoundError(
        f"nobody is known by {text!r}: no user id, amplitude id, device id, person id or key is "
        "spelt like this (case counts); is it loaded, and `relay build` run since?"
    )
