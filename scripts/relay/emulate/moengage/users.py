"""MoEngage's users, and what its data API refuses in a customer, an event and a device."""

import copy
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

Refusal = tuple[str, str, str]

# Not usable as a customer id; compared without case.
BANNED_IDS = frozenset(
    {"unknown", "guest", "null", "0", "1", "true", "false", "user_attribute_unique_id", ""}
    | {"na", "n/a", '""', "dummy_seller_code", "user_id", "id", "customer_id", "uid", "userid"}
    | {"none", "-2", "-1", "2"}
)
BLOCKED_ATTRIBUTES = frozenset(
    {"id", "_id", "", "USER_ATTRIBUTE_UNIQUE_ID", "INSTALL", "UPDATE", "MOE_ISLAT", "status"}
    | {"user_id", "source"}
)
ANONYMOUS_ID = "moe_anonymous_id"
ELEMENT_TYPES = ("customer", "event", "device")
NAME_CHARACTERS = 200
VALUE_CHARACTERS = 512
EVENT_ATTRIBUTES = 100
LATEST_ZONE_SECONDS = 54_000


class Users:
    """The users of one workspace, the events on them and their devices."""

    def __init__(self) -> None:
        self.known: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.devices: dict[str, dict[str, Any]] = {}

    def apply(self, element: Mapping[str, Any]) -> None:
        """Carry out an accepted customer, event or device."""
        uid, kind = element["customer_id"], element["type"]
        if kind == "customer":
            if element.get("update_existing_only", False) and uid not in self.known:
                return
            held = self.known.setdefault(uid, {})
            held.update(kept(element.get("attributes") or {}))
            for unset in element.get("unset_attributes") or ():
                held.pop(unset["attr"], None)
        elif kind == "event":
            self.known.setdefault(uid, {})
            for action in element["actions"]:
                event = {"customer_id": uid, **copy.deepcopy(action)}
                attributes = kept(action.get("attributes") or {})
                event["attributes"] = dict(list(attributes.items())[:EVENT_ATTRIBUTES])
                self.events.append(event)
        else:
            self.devices[str(element["device_id"])] = dict(element)


def kept(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as they are kept: names and values cut to their lengths."""
    return {
        name[:NAME_CHARACTERS]: value[:VALUE_CHARACTERS] if isinstance(value, str) else value
        for name, value in attributes.items()
    }


def problem_of(element: Any, now: datetime) -> Refusal | None:
    """What is wrong with a customer, event or device, if anything."""
    if not isinstance(element, dict) or element.get("type") not in ELEMENT_TYPES:
        return "type", "type must be customer, event or device", "InvalidParams"
    uid = element.get("customer_id")
    if uid is None:
        return "customer_id", "customer_id is not found in the payload", "MissingAttributeError"
    if not isinstance(uid, str) or not uid:
        text = "customer_id can not be empty Unicode String"
        return "customer_id", text, "MissingAttributeError"
    if len(uid) < 2 or uid.lower() in BANNED_IDS:
        return "customer_id", "customer_id is blacklisted", "Blacklisted"
    if element["type"] == "customer":
        return _problem_of_attributes(element.get("attributes"))
    if element["type"] == "device":
        if element.get("device_id"):
            return None
        return "device_id", "device_id is not found in the payload", "MissingAttributeError"
    return _problem_of_actions(element.get("actions"), now)


def _problem_of_attributes(attributes: Any) -> Refusal | None:
    if attributes is None:
        return None
    if not isinstance(attributes, dict):
        return "attributes", "attributes should be an object", "InvalidParams"
    for name, value in attributes.items():
        reserved = name.lower().startswith("moe_") and name != ANONYMOUS_ID
        if name in BLOCKED_ATTRIBUTES or reserved:
            return name, f"{name} is blacklisted", "Blacklisted"
        if isinstance(value, str) and len(value) > VALUE_CHARACTERS and "://" in value:
            return name, f"{name} is longer than 512 characters", "InvalidParams"
    return None


def _problem_of_actions(actions: Any, now: datetime) -> Refusal | None:
    if not isinstance(actions, list) or not actions:
        return "actions", "actions can not be empty Array", "MissingAttributeError"
    for action in actions:
        if not isinstance(action, dict) or not action.get("action"):
            return "action", "action can not be empty", "MissingAttributeError"
        if not isinstance(action["action"], str):
            return "action", "action should be a string", "InvalidParams"
        wrong = _problem_of_attributes(action.get("attributes")) or _problem_of_time(action, now)
        if wrong is not None:
            return wrong
    return None


def _problem_of_time(action: Mapping[str, Any], now: datetime) -> Refusal | None:
    for name in ("user_time", "current_time"):
        if name not in action:
            continue
        moment = _moment(action[name])
        if moment is None:
            return name, f"{name} is not a time", "InvalidParams"
        if moment > now:
            return name, f"{name} is in the future", "InvalidParams"
    offset = action.get("user_timezone_offset", 0)
    if type(offset) is not int or abs(offset) > LATEST_ZONE_SECONDS:
        return "user_timezone_offset", "user_timezone_offset is not valid", "InvalidParams"
    return None


def _moment(value: Any) -> datetime | None:
    """ISO 8601 text or epoch seconds, as number or text; milliseconds are no time (DISAGREE)."""
    if isinstance(value, str) and not value.isdigit():
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if isinstance(value, (int, str)) and not isinstance(value, bool) and len(str(value)) <= 10:
        return datetime.fromtimestamp(int(value), UTC)
    return None
