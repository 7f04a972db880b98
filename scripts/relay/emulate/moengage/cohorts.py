"""MoEngage's cohort sync: members of a segment come and go by user id."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from relay.emulate.moengage.users import Users

REQUIRED = ("action", "partner", "parameters")
REQUIRED_PARAMETERS = ("cohort_name", "cohort_id", "members")
ACTIONS = ("add_members", "remove_members")
_FORBIDDEN = re.compile(r"""^\.|[|*?\\:<>=$"]""")

# Attribute, message, type of a refusal.
Refusal = tuple[str, str, str]


@dataclass(slots=True)
class Segment:
    """One segment made by cohort sync, known by its name.

    Attributes:
        cohort_ids: The ids that came with the name; more than one means two cohorts share it.
        members: User ids in it.
        unmatched: Ids that led to no user, with how often; the service drops them silently.
    """

    name: str
    cohort_ids: set[str] = field(default_factory=set)
    members: set[str] = field(default_factory=set)
    unmatched: dict[str, int] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The segment as JSON."""
        return {
            "name": self.name,
            "cohort_ids": sorted(self.cohort_ids),
            "members": sorted(self.members),
            "unmatched": self.unmatched,
        }


def problem_of(document: Any) -> Refusal | None:
    """What is wrong with a cohort-sync body, if anything.

    The messages follow the documented ones where there are any (`action` not found, Malformed
    JSON); those about names and members are made after them.
    """
    if not isinstance(document, dict):
        return "", "Could not decode the request body.", "Malformed JSON"
    for name in REQUIRED:
        if not document.get(name):
            return name, f"{name} is not found in the payload", "MissingAttributeError"
    if document["action"] not in ACTIONS:
        return "action", "action not found", "InvalidParams"
    parameters = document["parameters"]
    if not isinstance(document["partner"], str) or not isinstance(parameters, dict):
        return "parameters", "parameters is not valid", "InvalidParams"
    for name in REQUIRED_PARAMETERS:
        if not parameters.get(name):
            return name, f"{name} is not found in the payload", "MissingAttributeError"
    for name in ("cohort_name", "cohort_id"):
        if not isinstance(parameters[name], str):
            return name, f"{name} should be a string", "InvalidParams"
    if _FORBIDDEN.search(parameters["cohort_name"]):
        return "cohort_name", "cohort_name has invalid characters", "InvalidParams"
    return _problem_of_members(parameters["members"])


def _problem_of_members(members: Any) -> Refusal | None:
    if not isinstance(members, list):
        return "members", "members should be an array", "InvalidParams"
    for member in members:
        if not isinstance(member, dict) or member.keys() != {"uid"}:
            return "members", "members should be objects with uid", "InvalidParams"
        if not isinstance(member["uid"], str) or not member["uid"]:
            return "uid", "uid should be a non-empty string", "InvalidParams"
    return None


class Segments:
    """All segments made by cohort sync, by name; a repeat changes nothing."""

    def __init__(self, users: Users) -> None:
        self._users = users
        self.segments: dict[str, Segment] = {}

    def apply(self, document: Mapping[str, Any]) -> None:
        """Carry out an accepted request."""
        parameters = document["parameters"]
        name = parameters["cohort_name"]
        segment = self.segments.setdefault(name, Segment(name))
        segment.cohort_ids.add(parameters["cohort_id"])
        uids = [member["uid"] for member in parameters["members"]]
        if document["action"] == "remove_members":
            segment.members.difference_update(uids)
            return
        for uid in uids:
            if uid in self._users.known:
                segment.members.add(uid)
            else:
                segment.unmatched[uid] = segment.unmatched.get(uid, 0) + 1
