"""`relay explain`: who somebody is, and why they are in a segment or not."""

from collections.abc import Iterator
from typing import Any

import click

from relay import warehouse
from relay.cli.command import Outcome, relay_command
from relay.report.explain import explain
from relay.report.tables import table
from relay.settings import Settings

# What a person reads of each part; the document has more.
_COLUMNS = {
    "ids": ("id_type", "id_value", "namespace", "first_seen_at", "last_seen_at"),
    "devices": ("device_id", "rows_count", "first_seen_at", "last_seen_at", "withheld"),
    "memberships": ("cohort_id", "cohort_name", "valid_from", "valid_to"),
    "keys": ("sync_name", "destination", "status", "detail", "key_type", "key_value"),
    "deliveries": (
        *("plan_id", "sync_name", "action", "key_type", "key_value", "outcome", "reason"),
        *("attempted_at", "confirmed_at"),
    ),
}
_LINK_COLUMNS = ("from", "to", "link", "decision", "shown by", "first_seen_at")


def register(group: click.Group) -> None:
    """Add the command to the `relay` group."""

    @relay_command(group, "explain")
    @click.argument("identifier", metavar="ID")
    @click.option("--with", "other", metavar="ID", help="Why this one is the same person, or not.")
    def explain_command(settings: Settings, identifier: str, other: str | None) -> Outcome:
        """Any identifier: its person, the evidence, cohorts, keys, what was sent and answered.

        ID is a user id, amplitude id, device id, key, or a person id of now or former times; where
        it might be several of these, with its type: user_id:Ann.

        \b
        Example:
            relay explain ann@example.com
            relay explain amplitude_id:812 --with user_id:Ann
        """
        with warehouse.read(settings.home) as connection:
            document = explain(connection, identifier, other)
        line = (
            f"{document['person_id']}: {len(document['ids'])} identifiers, "
            f"{len(document['memberships'])} memberships, {len(document['deliveries'])} deliveries"
        )
        return Outcome(document, line, "\n".join(_sections(document)))


def _sections(document: dict[str, Any]) -> Iterator[str]:
    path = document.get("path")
    if path is not None:
        answer = "one person" if path["is_one_person"] else "not one person"
        yield f"{path['from_identifier']} and {path['to_identifier']}: {answer}"
        yield _links([_as_step(step) for step in path["steps"]])
    yield f"person {document['person_id']}, named after {document['anchor']}"
    if document["is_suppressed"]:
        yield "suppressed: sent nowhere"
    if document["flags"]:
        yield f"flags: {', '.join(document['flags'])}"
    if document["former_person_ids"]:
        yield f"former ids: {', '.join(document['former_person_ids'])}"
    yield ""
    for name in ("ids", "devices"):
        yield _section(document, name)
    yield "links"
    yield _links(document["links"])
    for name in ("memberships", "keys", "deliveries"):
        yield _section(document, name)


def _section(document: dict[str, Any], name: str) -> str:
    columns = _COLUMNS[name]
    rows = [tuple(row[column] for column in columns) for row in document[name]]
    return f"{name}\n{table(columns, rows) if rows else '  none'}"


def _links(links: list[dict[str, Any]]) -> str:
    rows = [
        (
            f"{link['left_id_type']} {link['left_id_value']}",
            f"{link['right_id_type']} {link['right_id_value']}",
            link["link_class"],
            link["decision"] + (f" ({link['reason']})" if link["reason"] else ""),
            _evidence(link),
            link["first_seen_at"],
        )
        for link in links
    ]
    return table(_LINK_COLUMNS, rows) if rows else "  none"


def _as_step(step: dict[str, Any]) -> dict[str, Any]:
    """A step of a path in the shape of a link, in the direction in which it is gone."""
    ends = {
        f"{side}_{part}": step[f"{end}_{part}"]
        for side, end in (("left", "from"), ("right", "to"))
        for part in ("id_type", "id_value")
    }
    return {**step, **ends}


def _evidence(link: dict[str, Any]) -> str:
    if link["link_class"] == "device":
        return (
            f"device {link['device_id']}: anonymous row {link['first_row']}, "
            f"known row {link['known_row']}"
        )
    return f"{link['row_count']} in {link['source']}, first {link['first_row']}"
